"""What the desk tells a person in place of the page that was asked for."""

from tunnelgate_servers.hosting import ServerError


class PageError(ServerError):
    """A request is answered with `status` and a page of this heading and these sentences.

    `link` and `link_text` lead on from there.
    """

    def __init__(
        self,
        status: int,
        heading: str,
        *sentences: str,
        link: str = "/",
        link_text: str = "Go to your drafts",
    ) -> None:
        super().__init__(heading)
        self.status = status
        self.heading = heading
        self.sentences = sentences
        self.link = link
        self.link_text = link_text


def no_such_draft() -> PageError:
    """Return the page for a draft that is not there, or is somebody else's."""
    return PageError(
        404,
        "There is no such draft",
        "None of your drafts has this id. It may have been discarded, or it belongs to somebody else.",
    )


def changed_draft(draft_id: str) -> PageError:
    """Return the page for a draft that is not any more what was shown."""
    return PageError(
        409,
        "The draft has changed",
        "It was changed after this page was shown to you, so nothing was submitted.",
        "Read it as it is now, and submit that if you agree with it.",
        link=f"/draft?id={draft_id}",
        link_text="Read the draft again",
    )


def forged_form() -> PageError:
    """Return the page for a form that did not come from a page of this session."""
    return PageError(
        403,
        "This form cannot be accepted",
        "It was not sent from a page that was shown to you in this session, so nothing was done.",
        "Open the page again, and send the form from there.",
    )


def not_signed_in(login: str = "/login") -> PageError:
    """Return the page for what only somebody who is signed in may see or do; `login` leads there."""
    return PageError(
        403,
        "Sign in first",
        "You are not signed in, or your session has ended. Nothing was submitted.",
        link=login,
        link_text="Sign in",
    )


def no_sign_in(*sentences: str) -> PageError:
    """Return the page for a sign-in that came to nothing, and why."""
    return PageError(403, "You are not signed in", *sentences, link="/login", link_text="Sign in again")


def unreadable(status: int) -> PageError:
    """Return the page for a request that no page of ours leads to; `status` says what is wrong with it."""
    return PageError(
        status, "This request cannot be answered", "It is not one that a page of the desk makes."
    )


def unavailable() -> PageError:
    """Return the page for when something that the desk needs is down."""
    return PageError(
        503, "The desk is not available", "Something that it needs does not answer. Try again in a while."
    )


def broken() -> PageError:
    """Return the page for a failure that nobody has thought of."""
    return PageError(500, "Something went wrong", "It was written down. Nothing is known to be submitted.")
