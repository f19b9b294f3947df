"""An independent SSP 1.3 peer, written from the wire reference alone.

It is the second opinion on the gateway: it shares no code with it, only the description of the protocol. It can be a
partner operator's server or a home server, strict or with the habits of the peer that was observed in the field
(`personality.py`), and it carries the scenarios that hold a gateway to the reference (`scenarios.py`).

Standard library only; Python 3.11. See README.md.
"""
