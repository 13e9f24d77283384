"""Verification: independent oracles for gradients, and a checker that says what is wrong.

    oracles, loops      autodiff, central differences, four explicit loops
    check               check, check_gradient, check_layer; calls, structure, compare, one_sided and study do the work
    arguments           what is refused before anything is traced
    report              what a check returns
    record, chain       a network's chain rule with every link laid open, and mutants: chains with one link exchanged
    mistakes            the catalogue, one list a family (mistakes_in_*); diagnose matches, locate says what else it can
    kinks               every subgradient is a right answer
    blind_spots         what a test point can't reveal, and points that reveal everything
    trace, links        every intermediate by the notes' names, and the first wrong step
    agree               four roads to one gradient, side by side
    explain, flow       the backward pass written out; how gradients grow and shrink from layer to layer

Only here is anything differentiated by machine.
"""
