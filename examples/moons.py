"""Two interleaved half moons, told apart by a small net: a training run from data to accuracy.

    python examples/moons.py

It needs nothing but microbp, takes a few seconds, and prints the same numbers each time.
"""

from __future__ import annotations

import math
import random

from microbp import fit, no_grad
from microbp.nn import MLP
from microbp.optim import Adam


def moons(points: int, seed: int) -> tuple[list[list[float]], list[int]]:
    """Points (x, y) on two half circles, scattered a little; their labels are -1 and 1."""
    rng = random.Random(seed)  # noqa: S311 (no secret)
    X, Y = [], []
    for point in range(points):
        angle = math.pi * rng.random()
        if point % 2:
            x, y, label = math.cos(angle), math.sin(angle), -1
        else:
            x, y, label = 1.0 - math.cos(angle), 0.5 - math.sin(angle), 1
        X.append([x + rng.gauss(0.0, 0.1), y + rng.gauss(0.0, 0.1)])
        Y.append(label)
    return X, Y


def accuracy(net: MLP, X: list[list[float]], Y: list[int]) -> float:
    """The share of the points on whose side of 0 the net's score falls."""
    with no_grad():  # nothing to differentiate, so nothing is recorded
        return sum(float(y * net(x).data > 0) for x, y in zip(X, Y, strict=True)) / len(Y)


def main() -> None:
    """Train, and print how it went."""
    X, Y = moons(200, seed=1)
    X_new, Y_new = moons(200, seed=2)  # points that the training never sees
    net = MLP(2, [8, 8, 1], activation="tanh", init="xavier", seed=1)
    print(f"{len(net.parameters())} parameters, accuracy {accuracy(net, X_new, Y_new):.3f} before training")

    history = fit(
        net, X, Y,
        loss="hinge",
        penalty=1e-4,  # keeps the weights small
        optimiser=Adam(net.parameters(), lr=0.02),
        epochs=100,
        batch_size=20,  # ten steps an epoch
        validation=0.2,  # 40 of the points measure; the net ends with its best parameters for them
        patience=20,
    )  # fmt: skip

    print("epoch   cost    validation cost")
    for epoch, (cost, measured) in enumerate(zip(history.cost, history.validation_cost, strict=True), 1):
        if epoch % 10 == 0 or epoch in (1, len(history.cost)):
            print(f"{epoch:5}   {cost:.4f}  {measured:.4f}")
    print(history)
    print(f"accuracy on {len(Y_new)} new points: {accuracy(net, X_new, Y_new):.3f}")


if __name__ == "__main__":
    main()
