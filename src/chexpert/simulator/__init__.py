"""Artificial senders, readers and queues: traffic from outside, with its truth kept.

It meets the product only as an outside world does: by the site's HTTP interface and by V2. It plants shifted images by
what it sends. It must not import the site, the server's internals or anything that judges models, and no product code
may know it.
"""

__all__ = [
    "arrivals",
    "benefit",
    "closed_forms",
    "corners",
    "devices",
    "ledger",
    "load",
    "load_report",
    "readers",
    "reading",
    "reading_queue",
    "retries",
    "samples",
    "site",
    "sources",
    "tiles",
    "traffic",
]
