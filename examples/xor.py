"""The smallest complete program: a network learns the exclusive or of two numbers.

Run it with `python examples/xor.py`.
"""

import numpy as np

from minidl import SGD, BinaryCrossEntropy, Trainer, mlp

x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
y = np.array([0, 1, 1, 0])

model = mlp([2, 8, 1], rng=1)
trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), learning_rate=1.0))
trainer.fit(x, y, epochs=500, print_every=100)

for (a, b), probability in zip(x, model.predict(x)[:, 0], strict=True):
    print(f"{a:.0f} xor {b:.0f} = {probability > 0.5:d}   (probability {probability:.3f})")
