"""What the sample tickets are about, at a fictional maker of garden furniture."""

from dataclasses import dataclass
from typing import Final

from tunnelgate_servers.tickets_draft.records import Priority


@dataclass(frozen=True, slots=True)
class Story:
    """A kind of ticket: its title and its text have placeholders, and `endings` say how it was solved."""

    title: str
    body: str
    priority: Priority
    endings: tuple[str, ...]


PEOPLE: Final = (
    "amara.okafor",
    "bjorn.lindqvist",
    "carla.menendez",
    "daniel.osei",
    "elif.yildirim",
    "farid.haddad",
    "greta.voss",
    "hanh.nguyen",
    "ines.carvalho",
    "jonas.petrov",
    "katya.morozova",
    "liam.gallagher",
    "mei.tanaka",
    "nadia.benali",
    "oskar.wisniewski",
    "priya.raman",
    "quentin.dubois",
    "rosa.delgado",
    "samuel.adeyemi",
    "tomas.novak",
)
"""The names before the @ of who asks."""

PLACES: Final = ("Porto", "Gdańsk", "Leeds", "Zürich", "Lyon", "Aarhus")
"""Where the sites are."""

THINGS: Final[dict[str, tuple[str, ...]]] = {
    "where": (
        "on the ground floor",
        "on the second floor",
        "on the third floor",
        "in the warehouse",
        "in the paint shop",
        "in the canteen",
    ),
    "printer": ("PRN-03", "PRN-07", "PRN-11", "the label printer", "the plotter"),
    "system": (
        "the order desk",
        "the returns portal",
        "the time sheets",
        "the stock list",
        "the supplier hub",
    ),
    "device": ("laptop", "scanner", "screen", "docking station", "tablet", "telephone"),
    "team": ("Logistics", "Purchasing", "Customer care", "Paint shop", "Payroll", "Design"),
    "code": ("E-104", "E-221", "HTTP 502", "timeout after 30 s", "VPN-809", "Q-17"),
    "product": ("Marlow bench", "Tarn chair", "Fen table", "Kestrel parasol", "Birch planter"),
}
"""What stands for the placeholders."""

STORIES: Final = (
    Story(
        "{printer} in {place} prints empty pages",
        "Since this morning {printer} {where} in {place} prints every second page empty.\n\n"
        "Tried: switched it off and on, changed the toner, printed the test page (which is fine).\n"
        "It happens from {system} only. The delivery notes have to leave at 15:00.",
        "high",
        ("The driver was rolled back to the version before.", "A tray was set to the wrong size of paper."),
    ),
    Story(
        "Cannot log in to {system}",
        "After the change of my password I am sent back to the login page of {system} each time, and once it "
        "said {code}. Other pages work. Colleagues in {team} are not affected.",
        "normal",
        (
            "An old session was still remembered; it was ended.",
            "The account had not been put into its group.",
        ),
    ),
    Story(
        "{system} is slow between 9 and 10",
        "Every day after 9:00 a search in {system} takes more than half a minute for all of us in {team} "
        "({place}). Around 10:15 it is fast again.\n\nMeasured yesterday:\n- 08:50: 1.2 s\n- 09:20: 34 s\n"
        "- 09:40: {code}\n- 10:20: 1.4 s",
        "high",
        ("A report that ran at 9:00 was moved to the night.", "An index was missing after the last release."),
    ),
    Story(
        "New {device} for somebody who starts in {team}",
        "Somebody new starts in {team} on the first of the month in {place} and needs a {device}.\n"
        "The cost centre is known, and the manager has agreed.",
        "low",
        ("Handed over.", "Ordered and handed over; the old one went back."),
    ),
    Story(
        "{device} does not wake up after the weekend",
        "My {device} stays black when I come back on Mondays. Holding its button for ten seconds helps. "
        "There is a message for a moment, {code} I think.\n\nI sit {where} in {place}.",
        "normal",
        ("The firmware was updated.", "Exchanged for another one."),
    ),
    Story(
        "Wrong stock of the {product} in {system}",
        "{system} says that there are 40 of the {product} in {place}, and we have counted 4. Two orders were "
        "promised to customers because of it.\n\nPlease correct it, and tell us where the number came from.",
        "urgent",
        ("A delivery was booked ten times over; corrected.", "The count of last week had not been imported."),
    ),
    Story(
        "No wireless network {where} in {place}",
        "Nobody {where} in {place} has a wireless network since about 11:30. By cable it works. "
        "The tablets that we pack with cannot do without.",
        "urgent",
        ("A switch had lost its power; it is on another circuit now.", "The access point was exchanged."),
    ),
    Story(
        "Access to {system} for {team}",
        "{team} in {place} needs to read (not change) {system}, for the audit of the quarter.\n"
        "It can be taken away again at the end of the month.",
        "normal",
        ("Given, and set to end with the month.", "Given for reading."),
    ),
    Story(
        "Mails from customers about the {product} end up in the junk folder",
        "Three customers wrote about the {product} and got no answer: their mails were in the junk folder of "
        "{team}. What they have in common is a photo of more than 5 MB.",
        "normal",
        ("The rule on attachments was changed.", "The sender's domain had no valid signature; they know."),
    ),
    Story(
        "{system} shows {code} when a return is booked",
        "Booking a return of a {product} in {system} ends with {code}. The return is booked all the same, "
        "and a second one when I try again.\n\nSteps:\n1. open the order\n2. choose Return\n"
        "3. scan the label\n4. press Save",
        "high",
        ("The button now answers once only; the doubles were removed.", "Fixed with the release of Tuesday."),
    ),
    Story(
        "Time of the {device} in {place} is an hour ahead",
        "The {device} {where} shows a time that is an hour ahead, so that bookings of the early shift "
        "count for the day before.",
        "low",
        ("It follows the time server now.", "The zone was set by hand; corrected."),
    ),
    Story(
        "Price of the {product} on the label is without tax",
        "The labels that {printer} prints for the {product} have the price without tax. In the catalogue it "
        "is right. {team} has stopped the pallets for now.",
        "urgent",
        ("The template of the label was corrected, and the labels printed again.",),
    ),
)
"""The kinds of tickets."""
