"""The language of a text."""

import pytest

from models.languages.detection import LANGUAGES, language_of

SENTENCES = {
    "english": "The lift may only be used by staff after six in the evening.",
    "danish": "Elevatoren må kun bruges af personalet efter klokken seks, og døren skal være lukket.",
    "dutch": "De lift mag na zes uur alleen door het personeel worden gebruikt.",
    "finnish": "Hissiä saa käyttää kello kuuden jälkeen vain henkilökunta, ja ovi on lukittava.",
    "french": "L'ascenseur ne peut être utilisé que par le personnel après dix-huit heures.",
    "german": "Der Aufzug darf nach achtzehn Uhr nur vom Personal benutzt werden.",
    "hungarian": "A liftet este hat után csak a személyzet használhatja, és az ajtót be kell zárni.",
    "italian": "Dopo le diciotto l'ascensore può essere usato soltanto dal personale della sede.",
    "norwegian": "Heisen kan bare brukes av personalet etter klokken seks, og døra skal ikke stå åpen.",
    "portuguese": "Depois das seis da tarde o elevador só pode ser usado pelos funcionários.",
    "romanian": "După ora optsprezece liftul poate fi folosit doar de personal și ușa este închisă.",
    "spanish": "Después de las seis de la tarde el ascensor solo puede ser usado por el personal.",
    "swedish": "Hissen får bara användas av personalen efter klockan sex, och dörren ska vara låst.",
    "turkish": "Asansör saat altıdan sonra yalnızca personel için açık ve kapı kilitli olur.",
    "arabic": "لا يستخدم المصعد بعد السادسة إلا الموظفون.",
    "greek": "Μετά τις έξι το ασανσέρ το χρησιμοποιεί μόνο το προσωπικό.",
    "russian": "После шести часов лифтом может пользоваться только персонал.",
    "tamil": "மாலை ஆறு மணிக்குப் பிறகு ஊழியர்கள் மட்டுமே பயன்படுத்தலாம்.",
    "other": "शाम छह बजे के बाद केवल कर्मचारी लिफ्ट का उपयोग कर सकते हैं।",
}


def test_every_language_has_a_sentence() -> None:
    assert set(SENTENCES) == set(LANGUAGES)


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_tells_its_language(language: str) -> None:
    assert language_of(SENTENCES[language]) == language


@pytest.mark.parametrize("text", ["", "42", "Kubernetes", "Müller Müller Müller", "el contrato", "how does a man die"])
def test_without_enough_evidence_a_text_is_english(text: str) -> None:
    assert language_of(text) == "english"


def test_a_foreign_name_does_not_change_the_language() -> None:
    assert language_of("The museum in Αθήνα is open on Mondays, and so is the one in Köln.") == "english"
