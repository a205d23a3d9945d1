"""What a file of settings may hold: its keys, their types and defaults, and what they are for."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator

TASKS = {
    "text-classification": "AutoModelForSequenceClassification",
    "text-generation": "AutoModelForCausalLM",
    "fill-mask": "AutoModelForMaskedLM",
    "text2text-generation": "AutoModelForSeq2SeqLM",
    "token-classification": "AutoModelForTokenClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "image-classification": "AutoModelForImageClassification",
    "image-text-to-text": "AutoModelForImageTextToText",
    "visual-question-answering": "AutoModelForVisualQuestionAnswering",
    "automatic-speech-recognition": "AutoModelForSpeechSeq2Seq",
}
"""The Auto class of Transformers for each task."""


def _pair(value: Any) -> Any:
    if isinstance(value, list | tuple) and len(value) == 2:
        return value
    raise ValueError(f"must be a pair, [teacher, student]; got {value!r}")


# Files have lists where Python has pairs: their length is checked, as are their entries' types.
_LayerPair: TypeAlias = Annotated[
    tuple[int | list[int], int], Strict(False), BeforeValidator(_pair)
]
_Layers: TypeAlias = Literal["uniform", "last", "first"] | list[_LayerPair]
_Tokens: TypeAlias = str | Annotated[tuple[str | None, str | None], Strict(False)]
_Texts: TypeAlias = str | Annotated[tuple[str, str], Strict(False)]
_Count: TypeAlias = Annotated[int, Field(ge=0)]
_Crop: TypeAlias = Annotated[tuple[_Count, _Count], Strict(False), BeforeValidator(_pair)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)


class ModelSettings(_Section):
    """Where a model comes from: exactly one of `name`, `config` alone, and `function`."""

    name: str | None = Field(
        default=None, description="A model of the hub, or a folder with a saved one."
    )
    config: dict[str, Any] | None = Field(
        default=None,
        description="Entries of the model's configuration. Beside `name` they replace what is "
        "stored there; alone, with `model_type`, they make a model with new weights.",
    )
    new_weights: bool = Field(
        default=False,
        description="Take only the configuration of `name`, and draw the weights anew.",
    )
    model_class: str | None = Field(
        default=None,
        alias="class",
        description="A class of Transformers by its name, or any other as module:Class. "
        "Default: the Auto class of the task.",
    )
    function: str | None = Field(
        default=None, description="module:function that returns the model, any torch.nn.Module."
    )
    arguments: dict[str, Any] = Field(
        default_factory=dict,
        description="Further keywords: of the function, or of from_pretrained (dtype, "
        "attn_implementation, revision).",
    )

    @model_validator(mode="after")
    def _one_source(self) -> "ModelSettings":
        if self.function is not None and (self.name or self.config or self.model_class):
            raise ValueError("must have `function` alone, or `name` and `config`, not both")
        if self.function is None and self.name is None and self.config is None:
            raise ValueError("must say where the model comes from: `name`, `config` or `function`")
        if self.new_weights and self.name is None:
            raise ValueError("must have `name` where it has `new_weights`")
        if self.function is None and self.name is None and "model_type" not in (self.config or {}):
            raise ValueError("must have `config.model_type` (bert, gpt2, ...) where it has no name")
        return self


class DataSettings(_Section):
    """Where the rows come from (one of `name`, `files`, `function`), and how they are prepared."""

    name: str | None = Field(
        default=None,
        description="A data set of the hub, or a folder with one, for datasets.load_dataset.",
    )
    subset: str | None = Field(
        default=None, description="Configuration of `name`, such as sst2 of glue."
    )
    files: dict[str, str | list[str]] | None = Field(
        default=None,
        description="Files by split, train: reviews.csv. All csv, tsv, json, jsonl, parquet or "
        "txt, whose lines are the column `text`.",
    )
    function: str | None = Field(
        default=None,
        description="module:function that returns a data set, or a dictionary of them by split.",
    )
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="Further keywords of the function or of load_dataset."
    )
    train: str = Field(
        default="train", description="Split to train on; of `name` also train[:1000]."
    )
    evaluation: str | None = Field(default=None, description="Split to evaluate on. Default: none.")
    text: _Texts | None = Field(
        default=None,
        description="Column of texts, or two of them for pairs, to be tokenised for "
        "text-classification or text-generation. Default: columns are taken as they are.",
    )
    label: str = Field(
        default="label", description="Column of labels: numbers, or names that a model has."
    )
    tokenizer: str | None = Field(
        default=None, description="Of the hub or a folder. Default: `teacher.name`."
    )
    max_length: int | None = Field(
        default=None,
        gt=0,
        description="Tokens in a row; longer texts are cut. Default: 512, or fewer where a model "
        "has fewer positions.",
    )
    join: bool = Field(
        default=True,
        description="text-generation: join texts, and cut them into rows of `max_length` tokens "
        "(up to one row of a thousand texts is left over); false: one row a text.",
    )
    collate: str | None = Field(
        default=None, description="module:function that makes a batch of a list of rows."
    )

    @model_validator(mode="after")
    def _one_source(self) -> "DataSettings":
        given = [one for one in ("name", "files", "function") if getattr(self, one) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"must have one of `name`, `files` and `function`; it has {found}")
        if self.subset is not None and self.name is None:
            raise ValueError("must have `name` where it has `subset`")
        return self


class MatchSettings(_Section):
    """One part of the attention loss, an `AttentionMatch`."""

    teacher: str | None = Field(
        default=None, description="Path or glob of the teacher's attention."
    )
    student: str | None = Field(
        default=None, description="Path or glob of the student's attention."
    )
    kind: Literal["self", "cross"] | None = Field(
        default=None, description="Default: both, each apart."
    )
    layers: _Layers = Field(default="uniform", description="As in `distiller.layers`.")
    method: str | None = Field(default=None, description="Default: that of the distiller.")
    weight: float = Field(default=1.0, ge=0, description="Of this part.")
    tokens: _Tokens | None = Field(
        default=None,
        description="Name of a batch entry that says which tokens count, or a pair of names for "
        "queries and keys.",
    )
    options: dict[str, Any] = Field(default_factory=dict, description="Of this part's method.")


class DistillerSettings(_Section):
    """The arguments of `Distiller`; it gets an example by itself."""

    method: str = Field(
        default="amad_kl", description="amad_kl, amad_mse, one_to_one_kl, ...: docs/peers."
    )
    temperature: float = Field(default=1.0, gt=0, description="Of the softmax over student heads.")
    layers: _Layers = Field(
        default="uniform",
        description="uniform, last, first, or pairs [teacher layer, student layer], counted from "
        "0; [[0, 1], 0] averages two teacher layers.",
    )
    attention_weight: float = Field(
        default=1.0, ge=0, description="Of the attention part; 0: none."
    )
    output_weight: float = Field(default=1.0, ge=0, description="Of the softened outputs; 0: none.")
    output_temperature: float = Field(default=2.0, gt=0, description="Of the softened outputs.")
    task_weight: float = Field(default=1.0, ge=0, description="Of the student's own loss; 0: none.")
    matches: list[MatchSettings] | None = Field(
        default=None, description="What is compared with what. Default: all that both models have."
    )
    crop: _Crop | None = Field(
        default=None, description="[teacher, student]: so many first tokens are left out."
    )
    resize: bool = Field(
        default=False, description="Resize the teacher's patch grid to the student's."
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Further keywords of the method, such as eps."
    )


class Settings(_Section):
    """All that one run needs."""

    output_dir: str = Field(
        min_length=1, description="Folder for student, log, pictures and checkpoints."
    )
    task: str | None = Field(
        default=None,
        description=f"Chooses models' classes and how texts are prepared: {', '.join(TASKS)}.",
    )
    teacher: ModelSettings
    student: ModelSettings
    data: DataSettings
    distiller: DistillerSettings = Field(default_factory=DistillerSettings)
    training: dict[str, Any] = Field(
        default_factory=dict,
        description="Any argument of transformers.TrainingArguments, such as learning_rate, "
        "num_train_epochs, max_steps, per_device_train_batch_size, bf16, save_steps, seed.",
    )
    alignment_every: int = Field(
        default=100, ge=0, description="Steps between two looks at the alignment weights; 0: never."
    )
    pictures: bool = Field(
        default=True, description="Draw loss curves and alignment weights at the end."
    )

    @model_validator(mode="after")
    def _fits_the_task(self) -> "Settings":
        if self.task is not None and self.task not in TASKS:
            raise ValueError(f"must have a `task` among {', '.join(TASKS)}; got {self.task!r}")
        for side in ("teacher", "student"):
            model = getattr(self, side)
            if self.task is None and model.function is None and model.model_class is None:
                raise ValueError(f"must have `task`, or `{side}.class`, to choose the class by")
        if self.data.text is not None and self.task not in (
            "text-classification",
            "text-generation",
        ):
            raise ValueError(
                "must have task text-classification or text-generation where it has `data.text`; "
                "for other tasks prepare the rows in a `data.function`"
            )
        return self
