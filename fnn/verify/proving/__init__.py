"""Proofs that two JAX programs are the same function: `prove`, `prove_gradient`, `prove_layer`, `prove_rule`.

Read in this order: primes, fields, roots, logarithms (arithmetic); movement, shadow, tape (what a program computes);
decisions, run, and what each primitive writes: arithmetic, choices, conversions, moving, linear, solving, control, with
formulas, signs for what they share; literals, levels, degrees, worlds (residues); cell, coverage, matching, boundaries,
ties, points, guard, search (from one point to a verdict); programs, tracing, proof, readings, prove, gradients (what is
called).

**How.** Both programs are traced, and run in float64 at a few points. That run, the *shadow*, decides every
comparison, and leaves a straight line of sums, products, quotients, powers, exponentials, logarithms, roots and
functions without laws: the tape. The tape is computed again in *worlds*, fields of about 2³⁰ elements with random
values for all variables. Both programs are compared there, entry by entry, without a tolerance.

**What PROVED means.** On each cell that was visited, a set of points where all comparisons come out alike, f and g
are equal as formulas: by the laws of fields, e^(x+y) = e^x e^y, log e^x = x, log xy = log x + log y, (√x)² = x with
√x > 0, sin² + cos² = 1 and the sums of angles, erf(−x) = −erf(x), and nothing else. Hence they are equal as functions
wherever the formulas are analytic there. It is about mathematics: conversions between floats are read as exact and
named in the notes, rounding and overflow are no part of it. Whole numbers, keys and arrays closed over are the given
ones.

**How it may be wrong.** Only by chance: a formula that is not 0 vanishes in a world. Worlds are independent, and there
are as many as it takes to get below 2⁻⁶⁰ for all cells together. Primes are drawn afresh each time. What one world is
worth is computed from the degree d of what is compared and from its primes:

- Rational formulas: d / p, a theorem (Schwartz, Zippel). Functions without laws are drawn at random, and are as rare to
  agree as their arguments, whose degrees are added.
- Roots: a difference F that has roots in it vanishes with its norm, the product over all signs of its roots, a rational
  formula. If that norm is 0, as that of √(x² + 2xy + y²) − (x + y), a world gives the root the one sign or the other,
  as a value is a square or not; Weil's bound for sums of quadratic characters makes that a fair coin but for d / √p.
  Such a world counts as one bit, and there are 66. The norm's degree is d times 2 for each root; counted is d alone,
  which takes the roots for unknowns.
- Exponentials: if exponents were independent and uniform modulo q, their powers of ω would be independent elements of a
  group of order q, and Schwartz and Zippel hold in it as well: d / q. Sums of variables with small whole factors are.
  Products are not: x² and x are two exponents drawn by one number, and no theorem says how rarely ω^(x²) and ω^x
  satisfy an equation. So exponentials and logarithms are *taken for unknowns*, which is an assumption; the degrees of
  their arguments are added. In small fields, where agreements can be counted, they come out as rare as that
  (`tests/test_proofs.py`).

A proof that takes something for unknowns says so beside its probability: `Proof.unknowns`.

**What is trusted.** The tracing of JAX; the reading of each primitive, which the guard compares with the compiled
program at every point, in value to 1e-9 and in where it is NaN or infinite; the error bounds of the shadow, which are
first-order and doubled. Comparisons closer than these bounds are not decided by float64: they count as ties, and the
worlds must find that they are.

**What CANNOT TELL covers.** A primitive without an algebraic reading; an entry that overflows or divides by what may
be 0; a comparison that float64 does not decide; a difference in the worlds that float64 does not show, which may be a
law that is not known here, or a mistake of 10⁻²⁰; degrees beyond the fields; numbers at the given point that are lost
although the formula is right. Also a comparison of which only one outcome was seen although points of other sizes and
signs were tried, where the other program makes no such comparison; and comparisons of both programs that are almost
alike but not as formulas, x > 0 against x > 10⁻³⁰. Arrays are compared entry by entry, and every entry counts. What is
chosen (the largest, an order, the row of a pivot) counts as well where results hang on it, that is where the programs
differ once the second largest is chosen in its place. Where values tie, which is where random points never are, the
programs are compared at points made of few numbers: `prove` wants them to agree there, proofs of gradients don't, since
kinks have no gradient and each program its choice. A program that is another one in float64 than with the dtypes of its
arguments, and a whole number that wraps around only in 32 bits, can't be told either. If both programs compare alike
and only one outcome was seen, the proof stands, and names the line.

**DIFFERENT** is said only with a witness: an entry where float64 differs by more than both error bounds.
"""
