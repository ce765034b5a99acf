"""The contract between who describes work and who does it: a process, what it is given, and what it may ask for.

A process is a value. Its inputs are a pydantic model, from which the process description, the form, the command's
help and the documentation are made; its ``run`` turns inputs into outputs. It knows neither HTTP nor queues, and what
it needs that is heavy it imports when it runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from almagest.core.errors import AlmagestError, ConfigurationError, InvalidDocumentError, Violation, pointer_step
from almagest.core.groups import QUEUES

#: As OGC API - Processes names them.
Status = Literal["accepted", "running", "successful", "failed", "dismissed"]
#: A job that has one of these is no longer worked on.
ENDED: frozenset[Status] = frozenset({"successful", "failed", "dismissed"})

_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

InputsT = TypeVar("InputsT", bound=BaseModel)


class DismissedError(AlmagestError):
    """The job was dismissed, or somebody else has it by now: what is done here counts for nothing."""

    status = 409
    slug = "dismissed"


class ProcessFailedError(AlmagestError):
    """The process cannot do what it was asked for. Raised by a process: trying again would not help."""

    status = 422
    slug = "process-failed"


class OvertakenError(AlmagestError):
    """Others have changed meanwhile what the results follow from: they would undo it."""

    status = 503
    slug = "overtaken"


@dataclass(frozen=True)
class Output:
    """One result of a process.

    Attributes:
        title: for people.
        schema: JSON Schema of its value.
        description: what it is, where the title does not say it.
    """

    title: str
    schema: Mapping[str, Any]
    description: str = ""


@dataclass(frozen=True)
class Child:
    """A job that another one gave others to do.

    Attributes:
        process: id of what is to be done.
        inputs: of it, as JSON.
        status: what became of it.
        outputs: its results, where it was successful.
        error: a problem document (RFC 9457), where it failed.
    """

    process: str
    inputs: Mapping[str, Any]
    status: Status = "accepted"
    outputs: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Fanout:
    """What a process returns that wants others to do a part: it is run again when all of them have ended.

    Attributes:
        children: what is to be done, in any order, by anybody.
        checkpoint: what the process wants to find again then, as JSON.
    """

    children: Sequence[Child]
    checkpoint: Any = None


class Context(Protocol):
    """What a process may ask for while it runs.

    Attributes:
        job: id of the job.
        workdir: an empty folder of its own, gone afterwards.
        children: where it had given others a part to do: what became of that.
        checkpoint: what it left with them.
    """

    job: str
    workdir: Path
    children: Sequence[Child]
    checkpoint: Any

    def progress(self, percent: float, message: str | None = None) -> None:
        """Says how far it is [%], for whoever watches.

        Raises:
            DismissedError: nobody wants it any more.
        """

    def log(self, line: str) -> None:
        """Adds a line to the log of the job."""

    def source(self, collection: str, identifier: str) -> dict[str, Any]:
        """An item of the catalogue, as it is now. What is published says that it is made of this version.

        Raises:
            NotFoundError: there is none.
        """

    def sources(self, names: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """Several items at once, as :meth:`source` reads one; of those that are not there, none.

        Args:
            names: collection and id of each.
        """

    def pin(self, sources: Sequence[tuple[str, str, str]]) -> None:
        """Notes items that the process has read by itself, as if by :meth:`sources`.

        Args:
            sources: collection, id and version of each.
        """

    def fetch(self, href: str) -> Path:
        """Where a file of the store can be read, also one that whoever wants the job done keeps there himself.

        Raises:
            NotFoundError: there is no such file in the store, or it is somebody else's.
        """

    def collection(self, document: Mapping[str, Any], made_of: Sequence[str], *, public: bool = False) -> None:
        """Makes a collection for what is published, unless it is there; then it becomes as wide as this one.

        It is there as soon as the job is about to end well, and stays where that fails after all.

        Args:
            document: the collection, with an extent.
            made_of: collections of the sources: where outsiders do not see one of them, they do not see this one.
            public: whether they may nevertheless.
        """

    def publish(
        self,
        items: Iterable[Mapping[str, Any]],
        *,
        public: bool = False,
        sources: Sequence[tuple[str, str]] | None = None,
        own: Sequence[str] | None = None,
    ) -> None:
        """Publishes items when, and only when, the job ends well.

        Args:
            items: STAC items. An asset whose href is relative is a file in ``workdir``: it is put into the store, and
                its type, size and checksum are filled in. What made the item, and of what, is filled in as well. A
                link to ``/collections/…`` leads to what is called so in the catalogue.
            public: whether the items may go into a collection that outsiders see, though a source is internal.
            sources: collection and id of what alone these items are made of; None: of all that was read.
            own: names of members that are this process's affair, of properties and of links; a `*` at the end stands
                for any end. Whatever else an item of this name has that is there already stays: its other properties
                and links, and its assets. None: nothing stays of it.

        Raises:
            InvalidDocumentError: one is not valid STAC.
            NotFoundError: a file is not there, or a source was not read.
        """

    def rely_on(self, collections: Sequence[str], mark: str) -> None:
        """Says that what is published follows from collections that the process has read by itself.

        Should anybody else have changed items of theirs by the time the job ends, none of its items is published, and
        it is tried again. Other children of the same job are not anybody else: their parts must not overlap.

        Args:
            collections: ids.
            mark: of the snapshot in which they were read.
        """

    def remove(self, names: Sequence[tuple[str, str] | tuple[str, str, str]]) -> None:
        """Removes items when, and only when, the job ends well; their versions stay.

        Args:
            names: collection and id of each; of those that are not there, nothing happens. With the version that was
                seen behind these, nothing happens to what has changed since, either.
        """

    def recall(self, key: str) -> Any:
        """What the process has noted under a key by :meth:`remember`, as JSON; None: nothing, or it is lost."""

    def remember(self, key: str, value: Any) -> None:
        """Notes something for the next time when, and only when, the job ends well. A year later it is forgotten.

        Args:
            key: that the next one knows as well, such as a hash of the inputs.
            value: as JSON.
        """

    def register(
        self,
        collection: str,
        item: str,
        file: str,
        *,
        prefix: str,
        day: date,
        asset: Mapping[str, Any] | None = None,
        public: bool = False,
    ) -> None:
        """Gives an item that is there an asset under a dated key when, and only when, the job ends well.

        Args:
            collection: of the item.
            item: its id.
            file: name of a file in ``workdir``, or href of one that lies in the store.
            prefix: of the key: ``comparison`` makes ``comparison:2025-06-20`` and ``comparison:latest``.
            day: of the key.
            asset: what is to be said of it beyond what the file tells: title, roles.
            public: as for :meth:`publish`.
        """


Run = Callable[[InputsT, Context], "Mapping[str, Any] | Fanout"]


@dataclass(frozen=True)
class Process(Generic[InputsT]):
    """Something that can be asked for.

    Attributes:
        id: lower case words with hyphens between.
        version: changes with what it does.
        title: for people.
        description: what it does, what it needs, where its science comes from.
        inputs: what it takes, with bounds, units and examples.
        outputs: what it gives, by name.
        run: does it.
        is_quick: may be waited for by whoever asks; others are asked for and looked after later.
        scope: what a caller must be allowed to do besides running processes, where his inputs decide what is written.
        queue: the kind of machine that it needs, of :data:`almagest.core.groups.QUEUES`.
        quota: the class that it counts against in quotas; None: it is free.
        max_attempts: how often it is taken up before it is given up.
        time_limit_s: one attempt may take so long [s]. With a limit it runs in a child, which can be ended even where
            it hangs in somebody's C code.
        memory_limit_mb: one attempt may have so much memory [MiB], in a child as well.
        keywords: for those who look for it.
    """

    id: str
    version: str
    title: str
    description: str
    inputs: type[InputsT]
    outputs: Mapping[str, Output]
    run: Run[InputsT]
    is_quick: bool = False
    scope: str | None = None
    queue: str = "default"
    quota: str | None = None
    max_attempts: int = 3
    time_limit_s: float | None = None
    memory_limit_mb: int | None = None
    keywords: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ConfigurationError(f"A process is called by lower case words with hyphens between, not {self.id!r}.")
        if self.queue not in QUEUES:
            raise ConfigurationError(f"Process {self.id}: there is no queue {self.queue!r}, only {', '.join(QUEUES)}.")
        if self.max_attempts < 1:
            raise ConfigurationError(f"Process {self.id} must be tried at least once.")

    @property
    def is_apart(self) -> bool:
        """Whether it runs in a child of the worker."""
        return self.time_limit_s is not None or self.memory_limit_mb is not None

    def parse(self, inputs: Mapping[str, Any]) -> InputsT:
        """The inputs, checked and completed.

        Raises:
            InvalidDocumentError: names every input that is wrong, by its path.
        """
        try:
            return self.inputs.model_validate(inputs)
        except ValidationError as error:
            raise InvalidDocumentError(
                [Violation(_pointer(fault["loc"]), fault["msg"]) for fault in error.errors(include_url=False)],
                subject=f"The inputs of {self.id}",
                fault="are not what it takes",
            ) from None


def _pointer(location: Sequence[int | str]) -> str:
    return "".join(f"/{pointer_step(step)}" for step in ("inputs", *location))
