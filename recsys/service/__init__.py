"""The online service: lists over HTTP, from the current version of a store.

::

    app          the ASGI application: size, key, route, arguments, answer
    messages     what of ASGI a request is read from
    admission    who may ask, and how much
    load         threads for what takes longer than a plain list
    routes       what each path takes and what answers it
    parameters   arguments of a query or a body, held to the limits
    handlers     from arguments to the bytes of an answer
    list_writer  lists from ready JSON of each item
    exploring    users, versions and their lists, for the explorer
    state        version, gates and nights, for the dashboard
    static       the files of both pages
    opened       the open version, the next one, and others beside it
    problems     what goes wrong, as problem documents
    keys         API keys
    rate         requests a second
    counters     counters of all workers
    workers      the state of each worker
    observer     what is kept of a request that is over
    traces       spans for OpenTelemetry
    log_lines    lines of the log, JSON or text
    openapi      the routes as OpenAPI 3.1
    startup      whether it would start, and what is wrong
    certificate  of TLS
    server       the processes that listen

It answers and never learns. `Service` runs on any ASGI server; `serve` runs it on Granian.
"""

from recsys.base.service_settings import ServiceSettings
from recsys.service.app import Service
from recsys.service.keys import new_key
from recsys.service.server import serve
from recsys.service.startup import StartCheck, before_fork, check

__all__ = [
    "Service",
    "ServiceSettings",
    "StartCheck",
    "before_fork",
    "check",
    "new_key",
    "serve",
]
