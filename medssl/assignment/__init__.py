"""Which node of one graph is which of another: linear and quadratic assignment, batched.

What is looked for is a permutation for each graph; `permutation[i]` is the node of the second graph
that node i of the first one is. Solvers are pure: affinities and edges in, permutations out.
"""
