"""How a policy is read and checked; :mod:`tunnelgate.policy` has what it consists of."""
