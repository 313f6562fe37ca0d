"""The rivals: each takes training steps on a problem in its own best spelling.

A peer is a function that takes a `Problem` and a `Cell` and returns its contestants by name. All do
the same step: forward pass, gradient of half the sum of squared errors, plain gradient descent.
"""
