"""Search sessions: a search that remembers, and is refined by words, by picked and rejected pictures, and by undo.

A turn: load the state -> change the wish -> search (`answering.py`) -> save on the version that was loaded. Where
another replica was first, the turn is made again on the newer state, so that neither is lost.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from app.catalog.view import View
from app.encoder.encoder import PictureFile
from app.errors import Conflict, InvalidInput, SessionNotFound
from app.sessions.answering import Answer, Answering
from app.sessions.composing import Sent
from app.sessions.feedback import understand
from app.sessions.in_turn import InTurn
from app.sessions.session import MAX_FEEDBACK, MAX_PICTURES, Session, Turn, Wish
from app.sessions.store import SessionStore
from app.sessions.uploads import Upload, Uploads, sent_in, thumbnail_file, vector_file

TRIES: Final = 20
"""Of one turn. Requests of one process wait for each other, so only other replicas can be faster."""


@dataclass(frozen=True, slots=True)
class NewSearch:
    """What a session looks for from now on: at least one text or picture."""

    text: str = ""
    image_ids: tuple[str, ...] = ()
    upload_ids: tuple[str, ...] = ()
    """Pictures that were sent earlier in this session."""
    files: tuple[PictureFile, ...] = ()
    k: int = 10
    folders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refinement:
    """What to change. A picture is named by its index in an answer, from 0, or by its id."""

    feedback: str = ""
    pick: tuple[int | str, ...] = ()
    reject: tuple[int | str, ...] = ()
    turn: int | None = None
    """The answer that indexes are of; None: the last one."""
    k: int | None = None


@dataclass(frozen=True, slots=True)
class _Changed:
    """What becomes of a session, and what its caller is told."""

    session: Session
    answer: Answer
    files: Mapping[str, bytes] | None = None


Change: TypeAlias = Callable[[Session, Mapping[str, Sent]], Awaitable[_Changed]]
"""Gets the state, and its uploads by id."""


class Sessions:
    """Makes, changes and ends sessions. For one event loop; replicas share them where they share the store."""

    def __init__(
        self,
        store: SessionStore,
        answering: Answering,
        uploads: Uploads,
        *,
        fingerprint: str,
        max_uploads: int,
        idle_s: float,
    ) -> None:
        """`fingerprint` is that of the model whose vectors a session keeps; `idle_s` is for those who are told."""
        self._store, self._answering, self._uploads = store, answering, uploads
        self._fingerprint, self._max_uploads = fingerprint, max_uploads
        self.idle_s = idle_s
        self._in_turn = InTurn()

    async def stop(self) -> None:
        """Let go of the store."""
        await self._store.close()

    async def create(self, view: View) -> tuple[str, Session]:
        """A new session of this caller, and its id. Raises Overloaded, SessionStoreUnavailable."""
        session_id, session = secrets.token_urlsafe(24), Session(view.scope, self._fingerprint)
        await self._store.create(session_id, session.to_json())
        return session_id, session

    async def get(self, session_id: str, view: View) -> Session:
        """Raises SessionNotFound, SessionStoreUnavailable."""
        return (await self._load(session_id, view))[0]

    async def delete(self, session_id: str, view: View) -> None:
        """Raises SessionNotFound, SessionStoreUnavailable."""
        await self._load(session_id, view)
        await self._store.delete(session_id)

    async def thumbnail(self, session_id: str, upload_id: str, view: View) -> bytes:
        """WebP of a picture that was sent. Raises SessionNotFound, SessionStoreUnavailable."""
        await self._load(session_id, view)
        (data,) = await self._store.read_files(session_id, [thumbnail_file(upload_id)])
        if data is None:
            raise SessionNotFound(f"The session has no picture {upload_id!r} that was sent.")
        return data

    async def search(self, session_id: str, asked: NewSearch, view: View) -> Answer:
        """Look for something else. Earlier feedback and judgements do not count any more; `undo` brings them back.

        Raises SessionNotFound, InvalidInput and its kinds, ImageNotFound, Conflict, Overloaded, Unavailable, and as the
        search of the house.
        """
        self._check_room(await self.get(session_id, view), len(asked.files))
        sent = [await self._uploads.take(file) for file in asked.files]
        note = next((each.note for each in sent if each.note), None)
        files = {name: data for each in sent for name, data in each.files.items()}
        new = {each.info.id: each.sent for each in sent}

        async def change(session: Session, uploads: Mapping[str, Sent]) -> _Changed:
            self._check_room(session, len(sent))
            session = replace(session, uploads=(*session.uploads, *(each.info for each in sent)))
            wish = _wish_of(asked, sent, session, view)
            answer = await self._answering.answer(wish, {**uploads, **new}, view)
            notes = " ".join(filter(None, (note, answer.note)))
            session = session.with_turn("search", wish, wish.text, shown=_ids_in(answer), rewritten=answer.rewritten)
            return _after(session, replace(answer, note=notes or None), files)

        return await self._change(session_id, change, view)

    async def refine(self, session_id: str, asked: Refinement, view: View) -> Answer:
        """Change the search by feedback and judgements. Raises as `search`."""
        feedback = asked.feedback.strip()
        terms = understand(feedback) if feedback else []

        async def change(session: Session, uploads: Mapping[str, Sent]) -> _Changed:
            wish = _last_of(session).wish.judged(*_judged(asked, session, view))
            if terms:
                wish = wish.with_feedback(feedback, terms)
            if len(wish.feedback) > MAX_FEEDBACK:
                raise InvalidInput(
                    f"At most {MAX_FEEDBACK} pieces of feedback count together. Take some back with undo, or begin a "
                    "new search in this session."
                )
            wish = replace(wish, k=asked.k or wish.k)
            answer = await self._answering.answer(wish, uploads, view)
            session = session.with_turn("refine", wish, feedback, shown=_ids_in(answer), rewritten=answer.rewritten)
            return _after(session, answer)

        return await self._change(session_id, change, view)

    async def undo(self, session_id: str, view: View) -> Answer:
        """Take back the last turn, and answer the one before it. Raises as `search`."""

        async def change(session: Session, uploads: Mapping[str, Sent]) -> _Changed:
            _last_of(session)
            before = session.without_last_turn()
            if before.last is None:
                raise InvalidInput("This is the first search that the session remembers. No turn is before it.")
            answer = await self._answering.repeat(before.last.wish, before.last.rewritten, uploads, view)
            turn = replace(before.last, shown=_ids_in(answer))
            return _Changed(replace(before, turns=(*before.turns[:-1], turn)), replace(answer, turn=turn.number))

        return await self._change(session_id, change, view)

    async def reset(self, session_id: str, view: View) -> Session:
        """Forget the uploads and all turns; the session stays. Raises SessionNotFound, Conflict, Unavailable."""
        async with self._in_turn.wait_for(session_id):
            for _ in range(TRIES):
                session, version = await self._load(session_id, view)
                emptied = session.emptied()
                if await self._store.save(session_id, emptied.to_json(), version=version, drop_files=True):
                    return emptied
        raise _changed_too_often()

    async def _change(self, session_id: str, change: Change, view: View) -> Answer:
        async with self._in_turn.wait_for(session_id):
            for _ in range(TRIES):
                session, version = await self._load(session_id, view)
                names = [vector_file(each.id) for each in session.uploads]
                uploads = sent_in(session.uploads, await self._store.read_files(session_id, names))
                if uploads is None:  # reset by another replica since the state was loaded
                    continue
                changed = await change(session, uploads)
                state = changed.session.to_json()
                if await self._store.save(session_id, state, version=version, files=changed.files):
                    return changed.answer
        raise _changed_too_often()

    async def _load(self, session_id: str, view: View) -> tuple[Session, str]:
        """The state and its version. A session of a caller who may see other folders is not found."""
        stored = await self._store.load(session_id)
        session = Session.from_json(stored.state) if stored else None
        if stored is None or session is None or session.scope != view.scope:
            raise SessionNotFound(
                f"There is no search session {session_id!r}. A session and its uploads are deleted after "
                f"{self.idle_s:g} seconds without a request. Begin a new one with POST /api/v1/sessions."
            )
        if session.fingerprint != self._fingerprint:
            raise SessionNotFound(
                "The session was made while the service had another model, with which its uploads can't be compared. "
                "Begin a new one with POST /api/v1/sessions."
            )
        return session, stored.version

    def _check_room(self, session: Session, more: int) -> None:
        """Raises InvalidInput."""
        if len(session.uploads) + more > self._max_uploads:
            raise InvalidInput(
                f"A session keeps at most {self._max_uploads} pictures that were sent (SESSION_UPLOADS); this one has "
                f"{len(session.uploads)}. Name earlier ones in `upload_ids`, or reset the session."
            )


def _wish_of(asked: NewSearch, sent: Sequence[Upload], session: Session, view: View) -> Wish:
    """Raises InvalidInput, ImageNotFound."""
    for each in asked.upload_ids:
        if session.upload(each) is None:
            raise InvalidInput(f"The session has no picture {each!r} that was sent. GET the session for its uploads.")
    for each in asked.image_ids:
        view.record(each)
    upload_ids = (*dict.fromkeys(asked.upload_ids), *(each.info.id for each in sent))
    if not (asked.text.strip() or asked.image_ids or upload_ids):
        raise InvalidInput("The search is empty. Say what to look for, or show a picture.")
    image_ids = tuple(dict.fromkeys(asked.image_ids))
    if (pictures := len(image_ids) + len(upload_ids)) > MAX_PICTURES:
        raise InvalidInput(f"The search has {pictures} pictures. At most {MAX_PICTURES} are searched for together.")
    return Wish(asked.text.strip(), image_ids, upload_ids, k=asked.k, folders=tuple(dict.fromkeys(asked.folders)))


def _last_of(session: Session) -> Turn:
    """Raises InvalidInput."""
    if session.last is None:
        raise InvalidInput("The session has not searched yet. Send a text or a picture to its /search first.")
    return session.last


def _judged(asked: Refinement, session: Session, view: View) -> tuple[list[str], list[str]]:
    """The ids of the picked and of the rejected pictures. Raises InvalidInput, ImageNotFound."""
    turn = session.last if asked.turn is None else session.turn(asked.turn)
    if turn is None:
        raise InvalidInput(f"The session has no turn {asked.turn} any more. GET the session for its turns.")
    picked, rejected = ([_image_id(each, turn, view) for each in judged] for judged in (asked.pick, asked.reject))
    if both := set(picked) & set(rejected):
        raise InvalidInput(f"The picture {min(both)} is picked and rejected at once. Say one of both.")
    return list(dict.fromkeys(picked)), list(dict.fromkeys(rejected))


def _image_id(named: int | str, turn: Turn, view: View) -> str:
    if isinstance(named, int):
        if not 0 <= named < len(turn.shown):
            raise InvalidInput(
                f"There is no picture {named} in the answer of turn {turn.number}, which has {len(turn.shown)}. "
                "Indexes begin at 0."
            )
        return turn.shown[named]
    return view.record(named).image_id


def _after(session: Session, answer: Answer, files: Mapping[str, bytes] | None = None) -> _Changed:
    """`session` has the turn of this answer already."""
    return _Changed(session, replace(answer, turn=session.turns[-1].number), files)


def _ids_in(answer: Answer) -> tuple[str, ...]:
    return tuple(hit.record.image_id for hit in answer.hits)


def _changed_too_often() -> Conflict:
    return Conflict("Other requests change this session all the time. Send them one after the other.")
