"""What tests of terraform/ share: a copy of the tree to work in, and the rules that every root and module keeps."""

__all__ = ["policies", "site", "workspace"]
