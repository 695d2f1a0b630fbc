"""What a session remembers, and what it forgets."""

from app.sessions.session import MAX_FEEDBACK, MAX_JUDGED, MAX_TURNS, Session, SignedText, UploadInfo, Wish


def test_json_and_back() -> None:
    wish = Wish("Katze", ("a",), ("u",), (SignedText("Bäume", -1.0),), ("ohne Bäume",), ("b",), ("c",), 7, ("x/y",))
    session = Session(("nature",), "f" * 8, (UploadInfo("u", "a cat"),)).with_turn(
        "search", wish, "Katze", shown=["a", "b"]
    )
    assert Session.from_json(session.to_json()) == session


def test_fields_of_a_newer_version_are_passed_over() -> None:
    session = Session(("",), "f").with_turn("search", Wish("a"), "a")
    newer = session.to_json().replace(b'"scope"', b'"mood":"fine","scope"').replace(b'"wish":{', b'"wish":{"lens":1,')
    assert Session.from_json(newer) == session


def test_it_does_not_grow_without_end() -> None:
    session, wish = Session(("",), "f"), Wish("a cat")
    for number in range(3 * MAX_TURNS):
        wish = wish.judged([f"p{number}"], [f"r{number}"]).with_feedback(f"{number}", [SignedText("snow", 1.0)])
        session = session.with_turn("refine", wish, f"{number}")
    assert len(session.turns) == MAX_TURNS
    assert [turn.number for turn in session.turns] == list(range(2 * MAX_TURNS + 1, 3 * MAX_TURNS + 1))
    assert (len(wish.picked), len(wish.rejected)) == (MAX_JUDGED, MAX_JUDGED)
    assert wish.picked[-1] == f"p{3 * MAX_TURNS - 1}"
    assert (len(wish.feedback), len(wish.sentences)) == (1, MAX_FEEDBACK)


def test_the_latest_judgement_counts() -> None:
    wish = Wish().judged(["a", "b"], ["c"]).judged(["c"], ["a"])
    assert (wish.picked, wish.rejected) == (("b", "c"), ("a",))
