"""Short texts in Bark's thirteen languages, sentence by sentence."""

SENTENCES = {
    "de": [
        "Dr. Müller kam am 3. Oktober um 14.30 Uhr an.",
        "Er zahlte z. B. 3,50 Euro für das Buch.",
        "„Bist du sicher?“, fragte sie.",
        "Na ja … vielleicht nicht.",
        "Das war's!",
    ],
    "en": [
        "Dr. Smith arrived at 5 p.m. on Friday.",
        "He paid $3.50 for the U.S. edition, i.e. the cheap one.",
        "“Are you sure? Really?” she asked.",
        "Well… maybe not.",
        "Version 2.0 is out!",
        "[laughs] I can't believe it.",
    ],
    "es": [
        "El Sr. García llegó a las 5 p. m. con la Dra. López.",
        "¿Estás seguro?",
        "¡Claro que sí!",
        "Pagó 3.50 euros por el n.º 5.",
        "Bueno… quizás no.",
    ],
    "fr": [
        "M. Dupont est arrivé à 17 h.",
        "« Êtes-vous sûr ? » demanda-t-elle.",
        "Il a payé 3,50 euros, c.-à-d. presque rien.",
        "Eh bien… peut-être pas.",
        "Quelle journée !",
    ],
    "hi": [
        "डॉ. शर्मा शाम को आए।",
        "क्या आपको यकीन है?",
        "उसने किताब के लिए ३.५० रुपये दिए।",
        "अच्छा… शायद नहीं।",
        "बहुत बढ़िया!",
    ],
    "it": [
        "Il dott. Rossi è arrivato alle 17.30.",
        "«Sei sicuro?» chiese lei.",
        "Ha pagato 3,50 euro per il libro.",
        "Be'… forse no.",
        "Che giornata!",
    ],
    "ja": [
        "田中さんは午後三時に着きました。",
        "「本当ですか?そうですか?」と彼女は聞いた。",
        "本は3.5ユーロでした。",
        "まあ……たぶん違う。",
        "すごい!",
        "また明日。",
    ],
    "ko": [
        "김 박사는 오후 3시에 도착했습니다.",
        '"정말이에요?"라고 그녀가 물었다.',
        "책값으로 3.5유로를 냈다.",
        "음… 아마 아닐 거예요.",
        "굉장해요!",
    ],
    "pl": [
        "Dr Kowalski przyjechał o godz. 17.30.",
        "Zapłacił np. 3,50 zł za książkę.",
        "„Czy jesteś pewien?” zapytała.",
        "No… może nie.",
        "Co za dzień!",
    ],
    "pt": [
        "O Sr. Silva chegou às 17h30 com a Dra. Costa.",
        "Ele pagou 3,50 euros pelo livro.",
        "“Você tem certeza?”, perguntou ela.",
        "Bem… talvez não.",
        "Que dia!",
    ],
    "ru": [
        "Г-н Иванов приехал в 17.30 на ул. Ленина.",
        "Он заплатил 3,50 евро, т. е. почти ничего.",
        "Ну… может быть, нет.",
        "Она спросила: «Вы уверены?»",
        "Какой день!",
    ],
    "tr": [
        "Dr. Yılmaz saat 17.30'da geldi.",
        "Kitap için 3,50 avro, vb. ödedi.",
        "“Emin misin?” diye sordu.",
        "Şey… belki değil.",
        "Ne gün ama!",
    ],
    "zh": [
        "王先生下午三点到了。",
        "她说:“你确定吗?真的吗?”",
        "这本书3.5欧元。",
        "嗯……也许不是。",
        "太好了!",
        "明天见。",
    ],
}


def between(language: str) -> str:
    """The separator of two sentences."""
    return "" if language in ("ja", "zh") else " "


def written(language: str) -> str:
    """All sentences of a language as one text."""
    return between(language).join(SENTENCES[language])
