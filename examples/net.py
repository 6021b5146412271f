"""The 2-2-2 net with the numbers of a well-known worked example, written in scalars.

``microbp draw examples/net.py`` draws every gradient (net.svg), ``microbp page examples/net.py`` makes a
page that steps through the backward pass (net.html), ``microbp step examples/net.py`` does so in the
terminal.
"""

from microbp import Value, group

w1, w2, w3, w4 = Value(0.15), Value(0.20), Value(0.25), Value(0.30)
w5, w6, w7, w8 = Value(0.40), Value(0.45), Value(0.50), Value(0.55)
b1, b2 = Value(0.35), Value(0.60)
i1, i2 = Value(0.05), Value(0.10)
t1, t2 = Value(0.01), Value(0.99)

with group("h1"):
    net_h1 = w1 * i1 + w2 * i2 + b1
    h1 = net_h1.sigmoid()
with group("h2"):
    net_h2 = w3 * i1 + w4 * i2 + b1
    h2 = net_h2.sigmoid()
with group("o1"):
    net_o1 = w5 * h1 + w6 * h2 + b2
    o1 = net_o1.sigmoid()
with group("o2"):
    net_o2 = w7 * h1 + w8 * h2 + b2
    o2 = net_o2.sigmoid()
with group("E1"):
    E1 = 0.5 * (t1 - o1) ** 2
with group("E2"):
    E2 = 0.5 * (t2 - o2) ** 2
E = E1 + E2
E.backward()

print(f"E = {E.data:.9f}, ∂E/∂w5 = {w5.grad:.9f}, ∂E/∂w1 = {w1.grad:.9f}")
