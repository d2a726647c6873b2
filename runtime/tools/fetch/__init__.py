"""The tool ``fetch_page``: one page of the web as text, behind a guard against requests forged by what a model read.

``target`` says whether an address may be asked for, ``addresses`` whether a machine may be connected to, ``body`` reads no
more than is allowed, ``text`` makes words of it, ``fetcher`` does it all for one page, ``tool`` offers it to agents.
Rules of this room (SECURITY.md 2.3): what was checked is what is connected to; each redirect begins anew; every failure
is a :class:`runtime.tools.fetch.target.FetchRefused` with a stable code.
"""
