"""What an audit returns: findings, each with its remedy and the rows concerned."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, SupportsInt

import jax.numpy as jnp
import numpy as np

from fnn.recipes.shown import page
from fnn.validation import rows_named

SEVERITIES = ("error", "warning", "note")


class Finding(NamedTuple):
    """One thing that is wrong or odd."""

    severity: str  # "error": wrong; "warning": suspicious, or not yet fit for a network; "note": good to know
    topic: str  # two or three words, always the same for the same kind of finding
    message: str  # expected, received, remedy
    rows: tuple[int, ...] = ()  # the examples concerned, all of them
    features: tuple[int, ...] = ()  # the columns concerned, counted as in x.reshape(n, -1)

    def __str__(self) -> str:
        return f"{self.severity:9}{self.topic}: {self.message}"


class Audit(NamedTuple):
    """What `audit` found, worst first; prints as a page."""

    subject: str  # shapes and types of what was looked at
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing stands in the way of training: no finding is an error."""
        return all(finding.severity != "error" for finding in self.findings)

    def assert_ok(self) -> None:
        """Raise an AssertionError with the whole report if there is an error among the findings."""
        if not self.ok:
            raise AssertionError(str(self))

    def __str__(self) -> str:
        found = [finding.severity for finding in self.findings]
        numbers = {severity: found.count(severity) for severity in SEVERITIES}
        counts = ", ".join(f"{number} {severity}{'s' * (number != 1)}" for severity, number in numbers.items())
        return "\n".join([f"audit of {self.subject}: {counts}", *(f"  {finding}" for finding in self.findings)])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return page(str(self))


def found(
    severity: str, topic: str, message: str, rows: Iterable[SupportsInt] = (), features: Iterable[SupportsInt] = ()
) -> Finding:
    """Make a finding; row and feature numbers become Python's integers."""
    return Finding(severity, topic, message, tuple(map(int, rows)), tuple(map(int, features)))


def not_finite(name: str, rows: np.ndarray) -> Iterator[Finding]:
    """Report rows with NaN or infinity, if there are any."""
    if len(rows):
        yield found(
            "error",
            "not finite",
            f"expected finite numbers in {name}, got NaN or infinity in {rows_named(rows)}; "
            "leave these rows out or fill them in",
            rows,
        )


def numeric(array: np.ndarray) -> bool:
    """Whether the entries are real numbers, bool and bfloat16 included."""
    return array.dtype == bool or jnp.issubdtype(array.dtype, jnp.integer) or floating(array)


def floating(array: np.ndarray) -> bool:
    """Whether the entries are floating-point numbers, bfloat16 included."""
    return bool(jnp.issubdtype(array.dtype, jnp.floating))
