"""Training: from one step to a whole run.

`steps` is one step and one epoch as pure functions; `runners` run an epoch over data on the device or from the host
(`streaming`); `fitting` repeats epochs, validates (`evaluation`, `metrics`), reports (`progress`), resumes
(`resuming`) and says what went wrong (`divergence`). `ensembles` trains many networks in one call. `devices` places
data over several devices, which `shards` deals out. `compiling` and `shuffling` make it fast.
"""
