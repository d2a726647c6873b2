"""The Vercel AI SDK's UI message stream, versions 5 to 7 of its client (PROTOCOLS.md 2 and 3).

``projection`` says which chunks an event becomes; ``speech``, ``calls`` and ``cards`` keep what is open of words, tools and data;
``writer`` keeps the steps. ``response`` makes a projection one response, ``message`` makes chunks the message that the client builds
of them. ``requests`` and ``answers`` read what a client sends, ``history`` finds the runs of a chat, ``routes`` answers.

A chat is a conversation of ours, an assistant's message is a run, and its id is the run's. Where a run waits for people its response
ends; the answer comes with the next POST, whose response goes on in the same message. So a run's stream is a row of *segments*, each
``start`` to ``finish``: a response to a POST is one of them, a resumed stream all of them.
"""
