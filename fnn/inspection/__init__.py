"""Inspection: reading a network rather than judging it.

`summaries` tabulates it; `explanation` writes its backward pass out (`derivation` is what comes back); `tracing` lays
every intermediate open under the notes' names (`intermediates`) and finds your first wrong step; `loops` is
backpropagation as four nested loops, `agreement` puts four roads to one gradient side by side; `signal_flow` measures
how gradients grow and shrink, `remedies` says what to do about it.
"""
