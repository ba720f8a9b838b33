"""Tests of rates that stay honest while answers come in. Plain Python: no SciPy where a stage is only waited for."""

from math import exp, inf, lgamma, log

__all__ = ["binomial_tail", "evidence_above", "fisher_greater"]


def evidence_above(events: int, trials: int, rate: float) -> float:
    """E-value against 'the true rate is at most `rate`', valid however often one looks.

    The likelihood of the trials under a uniform mixture of all rates above `rate`, over their likelihood at `rate`.
    Under the hypothesis it ever exceeds 1/alpha with a probability of at most alpha (Ville 1939; Robbins 1970).

    Args:
        events: Of `trials`.
        trials: So far.
        rate: In [0, 1).
    """
    if rate <= 0.0:
        return inf if events else 1.0 / (trials + 1)
    others = trials - events
    at_rate = events * log(rate) + others * log(1.0 - rate)
    whole = lgamma(events + 1) + lgamma(others + 1) - lgamma(trials + 2)
    # The part of the Beta(events + 1, others + 1) above `rate` is P(Binomial(trials + 1, rate) <= events).
    above = sum(exp(_log_binomial(k, trials + 1, rate)) for k in range(events + 1))
    if above <= 0.0:
        return 0.0
    exponent = whole + log(min(1.0, above)) - log(1.0 - rate) - at_rate
    return exp(exponent) if exponent < 700.0 else inf  # noqa: PLR2004 - the largest exponent of a double


def fisher_greater(events: int, trials: int, other_events: int, other_trials: int) -> float:
    """One-sided p of Fisher's exact test: that the first group's rate is no higher than the other's.

    Needs no large numbers and no estimate of the common rate; 1.0 where nothing happened.
    """
    total, happened = trials + other_trials, events + other_events
    if not happened or not trials or not other_trials:
        return 1.0
    ways = _log_choose(total, happened)
    logs = [
        _log_choose(trials, k) + _log_choose(other_trials, happened - k) - ways
        for k in range(events, min(trials, happened) + 1)
        if happened - k <= other_trials
    ]
    return min(1.0, sum(exp(value) for value in logs))


def binomial_tail(events: int, trials: int, rate: float) -> float:
    """P(X >= events) for X ~ Binomial(trials, rate)."""
    if events <= 0 or rate >= 1.0:
        return 1.0
    if rate <= 0.0:
        return 0.0
    return min(1.0, sum(exp(_log_binomial(k, trials, rate)) for k in range(events, trials + 1)))


def _log_binomial(k: int, n: int, rate: float) -> float:
    return _log_choose(n, k) + k * log(rate) + (n - k) * log(1.0 - rate)


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
