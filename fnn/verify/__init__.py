"""Verification: independent oracles for gradients, and a checker that says what is wrong.

    oracles, one_sided            autodiff and central differences; slopes to each side where nothing can be traced
    check, functions              check and check_layer; check_gradient, of any function
    custom_rules                  check_rule; rules, rule_arguments, rule_forwards, rule_gradients, rule_calls do it
    arguments, gradient_trees     what is refused before anything is traced; what has to fit before values are looked at
    answers                       a backward of somebody else is called, in the numbers that it takes
    evidence, compare, report     what the oracles say, a verdict for each leaf from it, and how that prints
    rounding, kinks, choices      what rounding could have done; which sides of a kink make a right answer, in shares
    rewriting                     traced programs run anew with some equations done otherwise
    diagnosis                     of a network: matching against mistakes, the catalogue; locate says what else it can
    chain, forward_pass           a network's chain rule with every link laid open, as laying_out finds them
    blind_spots                   what a test point can't reveal, and points that reveal everything
    paths                         what is wrong in any function, and on which line
    proving                       proofs that two functions are one, without a tolerance

Only here is anything differentiated by machine.
"""
