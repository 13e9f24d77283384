"""What is wrong in a gradient of any function, and on which line: one search over the paths of its chain rule.

    source, program, evaluate     the forward as a flat list of equations at a point, each with its line
    slopes, derivatives, sweeps   cotangents backward, tangents forward, many at a time, with changes
    families, pool, constants     where a mistake can sit, and what can stand in another's place
    scales, reshaped, joints, explicit, axes, grid, nested, altered, finished    the variants
    survey, search, confirming, find        screened by directions, confirmed in full, asked again at a second point
    naming, wording, words, sayings, sentences    what is said

A gradient is a sum over paths through the forward's equations. With the cotangent at every equation and the tangent
along v at every value, changing the contribution C of one equation to one operand into C′ changes ⟨gradient, v⟩ by
⟨C′ − C, tangent of that operand⟩. So a few directions screen every site and every variant; what passes is predicted
in full.
"""
