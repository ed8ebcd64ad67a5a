"""What requests and answers look like: the shapes that are checked and that OpenAPI shows. Knows no memory.

Only shape is checked here (which fields there are, and of which JSON type); what a value may be is the memory's own
matter (``memory.drafting``, ``memory.filtering``), so library and service refuse the same things in the same words.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Json

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-03-01T09:30:00Z"])]
"""ISO 8601; without a zone: UTC."""


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    def said(self) -> dict[str, Any]:
        """Return the fields that came."""
        return self.model_dump(exclude_unset=True)


class SourceGiven(_Given):
    """Where a memory came from."""

    provider: str = ""
    model: str = ""
    tool: str = ""


class Changes(_Given):
    """Fields of a memory to change; those that do not come stay."""

    text: str = ""
    speaker: str = Field("", description="Who said it.")
    role: str = Field("", description="`user`, `assistant`, `tool`, ...")
    kind: str = Field("episodic", description="episodic, semantic, procedural or prospective.")
    happened_at: Time | None = Field(None, description="The time of the event; null: unknown.")
    importance: float = Field(0.5, description="0 to 1.")
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = Field(default_factory=dict, description="What JSON can hold, up to 64,000 characters.")
    image_caption: str | None = None
    source: SourceGiven | None = None
    provenance: str = Field("", description="How it came to be known.")
    key: str | None = Field(
        None, description="What the fact is about; the newest memory of a key takes the place of older ones."
    )


class DraftGiven(Changes):
    """Something to remember."""

    text: str = Field(description="Verbatim, up to 1,000,000 characters.")
    supersedes: str | None = Field(None, description="The id of a memory that this one replaces.")
    id: str | None = Field(None, description="Made where it is not given.")


class Batch(_Given):
    """Several things to remember, wholly or not at all; in a session, in the order of saying."""

    memories: list[DraftGiven]


class Narrowed(_Given):
    """What must hold of a memory; all parts given must."""

    latest_only: bool = Field(True, description="Leave out what was updated or superseded.")
    as_of: Time | None = Field(None, description="What was known at that moment; rules over latest_only.")
    between: list[Time | None] | None = Field(
        None, description="Two bounds of the event's time, the second excluded; null: open.", min_length=2, max_length=2
    )
    kinds: tuple[str, ...] = Field((), description="One of these.")
    tags: tuple[str, ...] = Field((), description="All of these.")
    speakers: tuple[str, ...] = Field((), description="One of these.")
    keys: tuple[str, ...] = Field((), description="One of these.")
    metadata: dict[str, str | int | float | bool | None] = Field(default_factory=dict, description="Equal values.")


class Search(Narrowed):
    """A question to the memory."""

    query: str
    k: int = Field(10, description="1 to 1,000.")
    explain: bool = Field(False, description="Tell each part's score and rank with every hit.")


class ContextWanted(Narrowed):
    """A question whose answer a prompt should hold."""

    query: str
    budget_tokens: int = Field(description="The text never takes more.")
    k: int = Field(50, description="How many hits to choose from.")


class FeedbackGiven(_Given):
    """Which memories answered a question."""

    query: str = Field(description="What was asked, up to 10,000 characters.")
    useful: list[str] = Field(description="Ids of the memories that answered it, 1 to 1,000.")
    helpful: bool = Field(True, description="false: they were found, and did not answer it.")
    shown: list[str] = Field([], description="Ids of what a search returned, best first, where that is known.")
    kind: str = Field("explicit", description="How one knows: explicit (somebody said so), answer or click.")


class SessionContextWanted(_Given):
    """How much of the end of a session a prompt should hold."""

    budget_tokens: int
    last: int = Field(50, ge=1, le=1000, description="How many turns to choose from.")


class Texts(_Given):
    """Texts to embed, as OpenAI's API has it."""

    input: str | list[str]
    model: str = Field("", description="Ignored: there is one embedder, whose name is in the answer.")
    encoding_format: Literal["float", "base64"] = Field("float", description="base64: little-endian float32.")
    dimensions: int | None = Field(None, description="Must be the embedder's own width, if given.")
    user: str = Field("", description="Ignored.")
    input_type: Literal["passage", "query"] = Field("passage", description="Ours: what the text is.")


class EmbedderWanted(_Given):
    """What to take up."""

    embedder: str = Field(description="One of `choices`: what it stands for is decided where the service is started.")


class PageWanted(BaseModel):
    """Which page of the memories, and what must hold of them."""

    model_config = ConfigDict(extra="forbid")

    after: int = Field(0, description="`next` of the page before.")
    limit: int = Field(100, description="1 to 1,000.")
    latest_only: bool = True
    as_of: Time | None = None
    between: list[Time] | None = Field(
        None,
        description="Twice: bounds of the event's time, the second excluded; empty: open.",
        min_length=2,
        max_length=2,
    )
    kinds: list[str] = []
    tags: list[str] = []
    speakers: list[str] = []
    keys: list[str] = []
    metadata: Json[dict[str, str | int | float | bool | None]] = Field(
        {}, description="Equal values, as a JSON object."
    )


class RecentWanted(BaseModel):
    """How many of the last memories."""

    model_config = ConfigDict(extra="forbid")

    last: int = Field(20, ge=1, le=1000)


class MemoryTold(BaseModel):
    """One version of a memory."""

    model_config = ConfigDict(extra="forbid")

    id: str
    version: int
    tenant: str
    user: str
    agent: str | None
    session: str | None
    turn: int = Field(description="The place in its session.")
    seq: int = Field(description="The number of the write; pages go by it.")
    text: str
    speaker: str
    role: str
    kind: str
    happened_at: Time | None
    importance: float
    tags: list[str]
    metadata: dict[str, Any]
    image_caption: str | None
    source: SourceGiven
    provenance: str
    key: str | None
    supersedes: str | None
    digest: str = Field(description="16 hex digits over scope and content.")
    ingested_at: Time
    ended_at: Time | None = Field(description="Since when another version or memory holds instead; null: holds now.")
    ended_seq: int | None
    ended_by: Literal["update", "supersede"] | None
    superseded_by: str | None


class AddedTold(BaseModel):
    """What became of a draft."""

    model_config = ConfigDict(extra="forbid")

    id: str
    duplicate: bool = Field(description="It was there already.")
    near: list[str] = Field(description="Memories that say nearly the same.")
    superseded: list[str] = Field(description="Memories whose place it took.")


class BatchTold(BaseModel):
    """What became of each draft, in their order."""

    results: list[AddedTold]


class PageTold(BaseModel):
    """Memories by seq."""

    memories: list[MemoryTold]
    next: int | None = Field(description="`after` of the next page; null: this is the last one.")


class MemoriesTold(BaseModel):
    """Memories in order."""

    memories: list[MemoryTold]


class WhyTold(BaseModel):
    """Each part's raw score, and its rank from 1; ``notes`` say what was left out of the ranking, and why."""

    scores: dict[str, float]
    ranks: dict[str, int]
    notes: list[str]


class HitTold(BaseModel):
    """A memory that was found; scores compare inside one answer only."""

    score: float
    explanation: WhyTold | None
    memory: MemoryTold


class HitsTold(BaseModel):
    """What was found, best first."""

    hits: list[HitTold]


class ContextTold(BaseModel):
    """Text for a prompt: dated, attributed, fenced."""

    text: str
    tokens: int
    ids: list[str]


class AdaptationTold(BaseModel):
    """Whether what this user answered moves this user's questions, and why (or why not)."""

    used: bool
    answered: int
    adapted: float | None = Field(description="nDCG@10 of answered questions, each with an adapter of the others.")
    without: float | None
    reason: str
    size_bytes: int


class StatsTold(BaseModel):
    """What is kept for this user."""

    memories: int
    versions: int
    sessions: int
    last_seq: int
    embedder: str
    dim: int
    warnings: list[str]


class ImportedTold(BaseModel):
    """What became of the lines."""

    added: int
    known: int


class VectorTold(BaseModel):
    """One text's vector."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class UsageTold(BaseModel):
    """Tokens of all texts."""

    prompt_tokens: int
    total_tokens: int


class VectorsTold(BaseModel):
    """Vectors in the order of the texts."""

    object: Literal["list"]
    data: list[VectorTold]
    model: str
    usage: UsageTold


class EmbedderTold(BaseModel):
    """An embedder."""

    name: str
    dim: int
    fingerprint: str = Field(description="Equal for the same weights and settings.")


class TakenTold(BaseModel):
    """An embedder that is being taken up."""

    embedder: EmbedderTold
    done: int = Field(description="Versions that have its vector.")
    total: int = Field(description="Versions that there were when it began.")


class StandingTold(BaseModel):
    """Which embedder searches, and what becomes of another one."""

    active: EmbedderTold
    upcoming: TakenTold | None = Field(description="null: none is being taken up.")
    choices: list[str] = Field(description="What may be taken up.")
    error: str | None = Field(description="Why the last one was not taken up, if it was not.")


class HealthTold(BaseModel):
    """The service answers."""

    status: Literal["ok"]


class FieldTold(BaseModel):
    """A field that is not what it must be."""

    field: str
    message: str


class ProblemTold(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="urn:memshadow:problem:KIND")
    title: str
    status: int
    detail: str = Field(description="What came, what was needed, what to do.")
    request_id: str
    errors: list[FieldTold] = []
