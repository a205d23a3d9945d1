"""A script as a user writes it, for one process or many: ``launched_trainer.py FILE``.

It takes one step over eight samples, two at a time, and writes what the weights have moved by.
"""

import os
import sys
import time

import transformers
from safetensors.torch import save_file

from tests.distillation.test_accumulation import batch, distiller


def main(file: str) -> None:
    found, rows = distiller("gpt2"), batch("gpt2")
    before = {name: one.detach().clone() for name, one in found.student.named_parameters()}
    arguments = transformers.TrainingArguments(
        output_dir=f"{file}.runs", report_to=[], use_cpu=True, disable_tqdm=True,
        save_strategy="no", max_grad_norm=0.0, optim="sgd", learning_rate=1.0, num_train_epochs=1,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=4 // int(os.environ.get("WORLD_SIZE", "1")),
    )  # fmt: skip
    trainer = transformers.Trainer(
        model=found,
        args=arguments,
        train_dataset=[{name: one[row] for name, one in rows.items()} for row in range(8)],
    )
    trainer.train()
    if trainer.is_world_process_zero():
        moved = {
            name: before[name] - one.detach() for name, one in found.student.named_parameters()
        }
        save_file(moved, file)
    # Gloo's threads may still hold tensors of the last gathering, which they need the interpreter
    # to let go of: one that ends meanwhile aborts ("terminate called without an active exception").
    time.sleep(0.5)


if __name__ == "__main__":
    main(sys.argv[1])
