"""The nodes are shared by the tests of a file: ansible_site makes them and takes them away."""

from ansible_site import site

__all__ = ["site"]
