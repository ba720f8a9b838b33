"""What may go wrong between us and a git repository."""

from chexpert.domain.errors import ChexpertError, InputError, RetryableError

__all__ = [
    "AlreadyRollingOut",
    "AlreadyServed",
    "BrokenInferenceService",
    "GitDenied",
    "GitFailed",
    "GitHubRefused",
    "GitHubUnavailable",
    "GitUnavailable",
    "MergeConflict",
    "NoCanary",
    "NoEnvironment",
    "NoPullRequest",
    "NoStable",
    "NotOurWorktree",
    "NothingToSeed",
    "PushRejected",
]


class GitFailed(ChexpertError):
    """Git ended with an error that none of the other classes names."""

    def __init__(self, command: tuple[str, ...], output: str) -> None:
        super().__init__(f"git {' '.join(command)}: {output.strip() or 'no output'}")
        self.command = command
        self.output = output


class GitUnavailable(RetryableError):
    """The repository did not answer."""

    def __init__(self, url: str, output: str) -> None:
        super().__init__(f"git repository {url} does not answer: {output.strip()}; is the address right and reachable?")
        self.url = url


class GitDenied(InputError):
    """The repository wants credentials that it was not given, or refuses those it was."""

    def __init__(self, command: str, output: str) -> None:
        super().__init__(
            f"git {command}: {' '.join(output.split())}; set GIT_USERNAME and GIT_PASSWORD (a token) that may push"
        )
        self.command = command


class PushRejected(RetryableError):
    """Someone else pushed first; the same work on the new tip may go through."""

    def __init__(self, url: str, branch: str) -> None:
        super().__init__(f"push of {branch} to {url} was rejected: its tip has moved; fetch and do it again")
        self.url = url
        self.branch = branch


class MergeConflict(InputError):
    """The branch does not merge into what git now holds."""

    def __init__(self, branch: str, base: str) -> None:
        super().__init__(f"{branch} conflicts with {base}: close it and propose the version again")
        self.branch = branch
        self.base = base


class NotOurWorktree(InputError):
    """A folder that this program did not clone is never reset, whatever it holds."""

    def __init__(self, folder: str, reason: str) -> None:
        super().__init__(f"{folder} {reason}; name an empty folder, or one that was cloned by this program")
        self.folder = folder


class NothingToSeed(InputError):
    """The folder to begin with is missing or empty."""

    def __init__(self, folder: str) -> None:
        super().__init__(f"{folder} holds no files: name the checkout's kserve/ folder")
        self.folder = folder


class NoEnvironment(InputError):
    """The repository has no file for this environment."""

    def __init__(self, url: str, path: str) -> None:
        super().__init__(f"{url} has no {path}: seed it from the checkout's kserve/ folder")
        self.url = url
        self.path = path


class BrokenInferenceService(InputError):
    """A file is no InferenceService in the shape that a promotion edits."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(f"inferenceservice.yaml{f' line {line}' if line else ''}: {reason}")
        self.reason = reason
        self.line = line


class AlreadyServed(InputError):
    """The environment's file names this version already."""

    def __init__(self, version: str) -> None:
        super().__init__(f"{version} is served already: nothing to promote")
        self.version = version


class AlreadyRollingOut(InputError):
    """Another canary still gets traffic."""

    def __init__(self, versions: tuple[str, ...]) -> None:
        super().__init__(
            f"{', '.join(versions)} is still being rolled out: wait until it is the stable or has returned"
        )
        self.versions = versions


class NoStable(InputError):
    """The environment is empty: its first version is written as the stable."""

    def __init__(self) -> None:
        super().__init__("inferenceservice.yaml has no stable yet: the first promotion writes it")


class NoCanary(InputError):
    """No canary has this name."""

    def __init__(self, version: str) -> None:
        super().__init__(f"{version} is no canary of inferenceservice.yaml")
        self.version = version


class NoPullRequest(InputError):
    """No open pull request has this name."""

    def __init__(self, identity: str, where: str) -> None:
        super().__init__(f"no open pull request {identity} in {where}; `chexpert pr list` names the open ones")
        self.identity = identity


class GitHubRefused(InputError):
    """GitHub answered 4xx: this request will not go through as it is."""

    def __init__(self, method: str, path: str, status: int, message: str) -> None:
        super().__init__(f"GitHub {method} {path}: {status} {message}")
        self.status = status
        self.message = message


class GitHubUnavailable(RetryableError):
    """GitHub did not answer, answered 5xx, or asked to slow down."""

    def __init__(self, method: str, path: str, reason: str) -> None:
        super().__init__(f"GitHub {method} {path}: {reason}; try again later")
        self.reason = reason
