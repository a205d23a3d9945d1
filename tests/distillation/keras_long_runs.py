"""A Distiller on two devices, on two workers, and killed: a script for test_keras_long_runs.py.

``python -m tests.distillation.keras_long_runs WAY FOLDER`` trains, and compares with one plain run.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

X = np.random.default_rng(0).standard_normal((16, 6, 8)).astype("float32")
Y = np.arange(16) % 3
BATCH = 8


def model(heads: int, layers: int, seed: int) -> Any:
    import keras

    keras.utils.set_random_seed(seed)
    hidden = inputs = keras.Input((6, 8))
    for index in range(layers):
        grown = keras.initializers.RandomNormal(stddev=0.5, seed=seed + index)
        attention = keras.layers.MultiHeadAttention(heads, 4, kernel_initializer=grown)
        hidden = keras.layers.LayerNormalization()(hidden + attention(hidden, hidden))
    logits = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling1D()(hidden))
    return keras.Model(inputs, logits)


def made() -> tuple[Any, tf.data.Dataset]:
    import keras

    from amad_tensorflow import AttentionDistillation

    distiller = keras.distillation.Distiller(
        teacher=model(4, 4, 1),
        student=model(2, 2, 2),
        distillation_losses=[
            AttentionDistillation(variant="kl", temperature=0.1),
            AttentionDistillation(method="align_to_distill", name="learned"),
        ],
        student_loss_weight=0.25,
    )
    distiller.compile(
        optimizer=keras.optimizers.SGD(0.1, momentum=0.9),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    distiller(X[:1])  # builds it, which BackupAndRestore asks for
    return distiller, tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH)


def trained(*callbacks: Any, epochs: int = 2) -> list[np.ndarray]:
    distiller, data = made()
    distiller.fit(data, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return weights_of(distiller)


def weights_of(distiller: Any) -> list[np.ndarray]:
    """Of the student and of the loss that learns."""
    weights = [weight.numpy() for weight in distiller.trainable_weights]
    assert len(weights) == len(distiller.student.trainable_weights) + 4
    return weights


def compare(weights: list[np.ndarray], plain: list[np.ndarray]) -> None:
    for one, other in zip(weights, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def mirrored(folder: Path) -> None:
    """On two virtual devices."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        together = trained()
    compare(together, trained())


def workers(folder: Path) -> None:
    """One of two workers, which ``TF_CONFIG`` tells of each other.

    In a loop of our own: under this strategy ``fit`` of Keras 3.15 fails with any model.
    """
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    assert strategy.num_replicas_in_sync == 2
    with strategy.scope():
        distiller, data = made()
        distiller.optimizer.build(distiller.trainable_variables)

    @tf.function
    def step(batch: Any) -> None:
        strategy.run(distiller.train_step, args=(batch,))

    for batch in strategy.experimental_distribute_dataset(data.repeat(2)):
        step(batch)
    compare(weights_of(distiller), trained())


def killed(folder: Path) -> None:
    """Killed in the third epoch where nothing was backed up before; else on to the end."""
    import keras

    backup = folder / "backup"
    is_first = not backup.exists()

    class Kill(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if is_first and self.model.optimizer.iterations.numpy() == 5:
                os.kill(os.getpid(), signal.SIGKILL)

    again = trained(keras.callbacks.BackupAndRestore(str(backup)), Kill(), epochs=4)
    compare(again, trained(epochs=4))


if __name__ == "__main__":
    {"mirrored": mirrored, "workers": workers, "killed": killed}[sys.argv[1]](Path(sys.argv[2]))
