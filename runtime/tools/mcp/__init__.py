"""Tools of other programs, by the Model Context Protocol (MCP): the only room that imports its SDK.

``session`` keeps one server connected and opens it again when it has died, ``convert`` makes tools of ours from its tools and
words from its results, ``servers`` is all servers of one process, ``bond`` ends a started server with its parent.
Rules of this room: a server is another's program, so everything it says is bounded, nothing it does is waited for without
limit, and no failure of it is more than an error result. It is imported only where a server is configured.
"""
