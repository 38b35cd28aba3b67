"""The online service in Python: a client that answers as a `Recommender` does.

::

    sync      Client
    awaited   AsyncClient
    calls     what each method asks, and what its answers become
    requests  one request: its arguments as they are sent, and how its answer is read
    replies   lists, explanations and embeddings from the bytes of an answer
    failures  errors of ours, from what the service or the network says
    attempts  how often, and after how long, a request is sent again
"""

from recsys.client.awaited import AsyncClient
from recsys.client.replies import EventsKept, Served, UserDeleted
from recsys.client.sync import Client

__all__ = ["AsyncClient", "Client", "EventsKept", "Served", "UserDeleted"]
