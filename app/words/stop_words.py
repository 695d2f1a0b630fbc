"""Words that say nothing about a picture, in English, German, French and Spanish; without accents.

They are left out of captions, and of queries that have other words.
"""

_ENGLISH = """
a an and are as at be been by for from had has have he her his i in into is it its me my of on or our she so some that
the their them there these they this to us was we were what which who with you your
"""
_GERMAN = """
als am auch auf aus bei das dein dem den der des die du ein eine einem einen einer eines er es fur hat ich ihr im ist
mein mit nach oder sein sich sie sind uber um und unter vom von vor wie wir zu zum zur
"""
_FRENCH = """
au aux avec c ce ces cette d dans de des du elle en est et eux il ils je l la le les leur lui ma mais mes mon ne nos
notre nous ou par pas pour qu que qui sa se ses son sur ta te tes ton tu un une vos votre vous
"""
_SPANISH = """
al como con del donde e el ella ellos entre esta este lo los las mi mis muy no nos o para pero por que se sin sobre su
sus te tu un una uno unos unas y ya
"""
STOP_WORDS = frozenset((_ENGLISH + _GERMAN + _FRENCH + _SPANISH).split())
