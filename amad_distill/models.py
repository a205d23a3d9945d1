"""The models that the settings name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transformers
from safetensors.torch import save_model
from torch import nn
from transformers import AutoConfig, set_seed

from amad_distill.importing import called, imported
from amad_distill.mistakes import SettingsError, unknown_key
from amad_distill.settings import TASKS, ModelSettings


def make_model(side: str, settings: ModelSettings, task: str | None, seed: int) -> nn.Module:
    """Load or build a model; new weights depend on the seed alone.

    Args:
        side: "teacher" or "student", for errors.
        settings: where it comes from.
        task: chooses the class where the settings do not.
        seed: of the weights that are drawn.

    Raises:
        SettingsError: a model that is not there, or cannot be built.
    """
    set_seed(seed)
    if settings.function is not None:
        found = called(f"{side}.function", settings.function, settings.arguments)
        if not isinstance(found, nn.Module):
            raise SettingsError(
                f"{side}.function must return a torch.nn.Module; {settings.function} returned a "
                f"{type(found).__name__}"
            )
        return found
    kind = _class(side, settings, task)
    config = _config(side, settings)
    try:
        if settings.name is not None and not settings.new_weights:
            model = kind.from_pretrained(settings.name, config=config, **settings.arguments)
        else:
            build = getattr(kind, "from_config", None) or kind._from_config
            model = build(config, **settings.arguments)
    except (OSError, TypeError, ValueError) as error:
        raise SettingsError(f"{side}: {kind.__name__} cannot be made: {error}") from None
    return model  # type: ignore[no-any-return]


def save_student(student: nn.Module, folder: Path) -> None:
    """As its class does; a model without `save_pretrained` as `model.safetensors`."""
    save = getattr(student, "save_pretrained", None)
    if save is not None:
        save(folder)
        return
    folder.mkdir(parents=True, exist_ok=True)
    save_model(student, str(folder / "model.safetensors"))


def _class(side: str, settings: ModelSettings, task: str | None) -> Any:
    name = settings.model_class or TASKS[task or ""]
    if ":" in name:
        return imported(f"{side}.class", name)
    found = getattr(transformers, name, None)
    if found is None or not hasattr(found, "from_pretrained"):
        raise SettingsError(
            f"{side}.class must be a model of Transformers, or module:Class; got {name!r}"
        )
    return found


def _config(side: str, settings: ModelSettings) -> Any:
    given: Mapping[str, Any] = settings.config or {}
    changed = {key: value for key, value in given.items() if key != "model_type"}
    try:
        if settings.name is None:
            plain = AutoConfig.for_model(given["model_type"])
            _check_entries(side, plain, changed)
            return AutoConfig.for_model(given["model_type"], **changed)
        stored = {
            key: settings.arguments[key]
            for key in ("revision", "trust_remote_code", "token", "cache_dir", "local_files_only")
            if key in settings.arguments
        }
        _check_entries(side, AutoConfig.from_pretrained(settings.name, **stored), changed)
        return AutoConfig.from_pretrained(settings.name, **stored, **changed)
    except SettingsError:
        raise
    except (OSError, TypeError, ValueError) as error:
        raise SettingsError(f"{side}.{_source(settings)}: {error}") from None
    except Exception as error:  # those of the hub's and the configurations' own libraries
        said = f"{type(error).__name__}: {error}"
        raise SettingsError(f"{side}.{_source(settings)}: {said}") from None


def _source(settings: ModelSettings) -> str:
    """The key, with its value where the libraries' errors may leave it out."""
    return "config" if settings.name is None else f"name ({settings.name!r})"


def _check_entries(side: str, config: Any, changed: Mapping[str, Any]) -> None:
    """Refuse what a configuration would take in silence: an entry that its model never reads."""
    for key in changed:
        if not hasattr(config, key):
            known = [*config.to_dict(), *config.attribute_map, "num_labels"]
            raise SettingsError(unknown_key(f"{side}.config", key, known))
