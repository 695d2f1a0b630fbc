"""English words by which folder names in queries are judged. All are lower case, without apostrophes."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


DEFINITE = _set("the my our your his her their this that these those")
"""`in the garden` points at a known garden; `in a garden` describes the picture."""

CONNECTORS = DEFINITE | _set(
    "a an some all any every only in at on from of over under by near with into inside within for to across along "
    "around and or"
)
"""Words before a folder's name that have no use when the name is cut out: `sunset at the (beach)`."""

FOLDER_WORDS = _set("folder folders subfolder directory directories album albums gallery")
"""Beside a name they point at a folder: `the nature folder`, `album Italy`."""

CONTAINERS = FOLDER_WORDS | _set("collection collections category")

FILLER = (
    CONNECTORS
    | CONTAINERS
    | _set(
        "show find search get give display list see view look looking want need would like please can could i me us we "
        "you it is are there have has do does what which where more photo photos picture pictures image images pic "
        "pics photograph photographs photography snapshot snapshots something anything everything stuff just pair "
        "pairs lot lots bunch couple few several many"
    )
)
"""Words that do not describe what a picture shows."""

NEGATIONS = _set("no not without never except excluding minus nor isnt arent dont doesnt didnt wasnt")
"""What follows is what the pictures should not show."""

SEVERAL = _set("and or to till until through")
"""Between names of which no single one is meant: `from 2022 to 2023`, `cats and dogs`."""

AFTER_A_PLACE = (FILLER - SEVERAL) | _set(
    "without no not never except while when who during before after but than as was were be being named called"
)
"""A name that one of these follows is complete; any other word may continue it: `in the work (clothes)`."""

CALLED = _set("called named titled")
"""`the folder called nature`."""

ALWAYS_A_PLACE = _set("in inside within from")
"""Prepositions that point at a place, with or without `the`: `in nature`, `from the trip`."""

A_PLACE_IF_DEFINITE = _set("on at")
"""`at the beach` points at a place; `at work` and `on fire` do not."""

PART_OF_THE_VERB = {
    "at": _set(
        "look looks looking looked stare stares staring smile smiles smiling gaze gazes gazing glance glancing peer "
        "peering point points pointing laugh laughs laughing bark barks barking wave waving yell yelling shout "
        "shouting growl growling aim aiming throw throws throwing"
    ),
    "in": _set("covered dressed wrapped painted drenched soaked clad interested clothed"),
    "from": _set(
        "made carved built drink drinks drinking eat eats eating hang hangs hanging jump jumps jumping leap leaps "
        "leaping fall falls falling dive diving fly flies flying swing swinging come comes coming rise rises rising "
        "emerge emerges emerging climb climbing run running walk walking work works working peek peeking view views "
        "viewed seen away far out different apart"
    ),
}
"""After these the preposition belongs to what the picture shows: `looking at the (camera)`, `working from (home)`."""

THINGS = _set(
    # worn: "man in shorts"
    "dress hat cap shirt tshirt shorts pants trousers jeans skirt shoe boot sandal sneaker sock coat jacket outwear "
    "outerwear sweater hoodie jersey uniform costume suit tie scarf glove mask helmet glasses sunglasses goggles "
    "swimsuit bikini trunks underwear vest robe gown apron belt blouse longsleeve pajamas pyjamas kimono sari headband "
    "bandana wig veil makeup armor armour leggings tights stockings heels clothes clothing outfit "
    # ridden, sat or lain on: "dog in the car", "a cat on the sofa"
    "car bus truck van taxi train tram boat ship canoe kayak raft plane airplane helicopter bike bicycle motorcycle "
    "scooter cart wagon sled stroller wheelchair sofa couch chair bench bed crib table desk shelf bathtub tub hammock "
    "swing stool cradle tree "
    # filled: "milk in the glass"
    "box bag basket bowl cup glass mug bottle jar plate pot pan bucket vase suitcase backpack cage tray "
    # parts of bodies, devices: "a woman on the phone"
    "hand arm lap head mouth face shoulder back hair neck camera phone screen computer laptop tv television mirror "
    # places in the picture itself: "a dog in the background"
    "background foreground front middle center centre left right top bottom side corner distance air sky ground dark "
    "shade shadow sun light wall floor window door"
)
"""After `in`, `on` and `at` these describe a picture more often than they name its folder."""

ADJECTIVES = _set(
    "short long tall big small large little old young new good bad hot cold warm cool dark bright wet dry round "
    "flat high low wide deep thick thin soft hard sweet sour wild tight loose clean dirty fast slow plain rough "
    "red green blue yellow black white grey gray brown pink purple orange golden blond casual formal classic basic "
    "essential natural original portable electric electronic cosmetic graphic digital musical individual personal "
    "private royal antique favorite favourite final special organic academic athletic olympic national regular"
)
"""Words that describe, though a noun is written like their plural: a short dog is none of the shorts."""
