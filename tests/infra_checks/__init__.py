"""What the infrastructure's tests are built of: kustomizations built, schemas found, policies, Argo CD's Lua sandbox.

No check here passes because something is missing: what cannot be checked says so.
"""

__all__ = ["builds", "lua", "objects", "policies", "reach", "schemas"]
