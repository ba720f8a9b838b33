"""Serving at the limit of the machine: this server, its peers and bare loops in turns, as a table of ratios.

Every server is a process of its own on loopback, the client is another. Answers are compared before anything is timed.
Nothing here is imported by the product.
"""
