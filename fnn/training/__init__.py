"""Training: from one step to a whole run.

`steps` is one step and one epoch as pure functions; `runners` run an epoch over data (`sources`) on the device or
from the host (`streaming`); `fitting` repeats epochs, validates (`evaluation`, `metrics`), reports (`progress`), lets
Ctrl-C end it (`interruption`), stops it (`early_stopping`) and says what went wrong (`divergence`); `starting` is
where it begins, `outcomes` what it leaves. `resuming` finds a run again by its `identity`, to which the
`fingerprints` of its data belong. `ensembles` trains many networks in one call. `devices` places data over several
devices, which `shards` deals out. `compiling` and `shuffling` make it fast.
"""
