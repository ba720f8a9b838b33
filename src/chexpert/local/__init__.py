"""The whole platform on one machine: supervised servers on loopback, the served worktree, and the demo.

It starts what the other packages offer, in the roles that Kubernetes, Argo CD and KServe have on a cluster. It must
not decide anything about models or studies: those rules live below.
"""

__all__ = ["demo", "home", "platform", "processes", "worktree"]
