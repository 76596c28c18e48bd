"""The words that hold a sentence together, by language. They tell the language, and a keyword search ignores them.

The languages are those that Tantivy can stem and that are written in Latin letters, except English.
"""

_LINES = {
    "danish": """
        og i jeg det at en den til er som på de med han af for ikke der var mig sig men et har om vi min
        havde ham hun nu over da fra du ud sin dem os op man hans hvor eller hvad skal selv her alle vil
        blev kunne ind når være dog noget ville jo deres efter ned skulle denne dette hvis mod disse hvem
        hvilken hvilke hvornår hvordan hvorfor kan hver mange uden mellem
    """,
    "dutch": """
        de en van ik te dat die in een hij het niet zijn is was op aan met als voor had er maar om hem dan
        zou of wat mijn men dit zo door over ze zich bij ook tot je mij uit der daar haar naar heb hoe heeft
        hebben deze u want nog zal me zij nu ge geen omdat iets worden toch al waren veel meer doen toen
        moet ben zonder kan hun dus alles onder ja eens hier wie werd altijd wordt wezen kunnen ons zelf
        tegen na reeds wil kon niets uw iemand geweest waar wanneer welke waarom hoeveel tussen
    """,
    "finnish": """
        olla olen on ovat oli olisi ollut ei en et emme eivät minä sinä hän me te he tämä tuo se nämä nuo ne
        kuka mikä mitkä missä mistä mihin milloin miten miksi kuinka joka jotka jossa jonka että ja jos
        koska kuin mutta niin sekä sillä tai vaan vai vaikka kanssa mukaan noin poikki yli kun nyt itse
        tämän sen niiden siitä siinä myös ennen jälkeen ilman voi voidaan
    """,
    "french": """
        le la les un une des du de au aux et en dans par pour sur avec ce cette ces cet il elle ils elles je
        tu nous vous on ne pas plus que qui quoi quel quelle quels quelles dont où est sont était étaient
        été être sera a ont avait avoir mon ma mes ton ta tes son sa ses notre nos votre vos leur leurs se
        si ou mais comme quand comment pourquoi combien lors chez sans sous entre vers aussi très c d j l m
        n s t qu y
    """,
    "german": """
        der die das den dem des ein eine einen einem einer eines und oder aber ich du er sie es wir ihr mich
        dich ihn uns euch ihm ihnen mein dein sein unser euer ist sind war waren bin bist wird werden wurde
        wurden worden hat haben hatte hatten nicht kein keine keinen keiner mit von vom zu zum zur bei beim
        nach aus auf an am im in ins für über unter vor hinter neben zwischen durch gegen ohne um bis seit
        während wegen als wie wenn weil dass daß ob so auch noch nur schon sehr was wer wen wem wessen wo
        wohin woher wann warum wieso welche welcher welches welchen wieviel diese dieser dieses diesen
        diesem jede jeder jedes man sich kann können muss müssen soll sollen darf dürfen da denn doch dann
    """,
    "hungarian": """
        a az egy és hogy nem is ez de van volt ki mint csak már meg még el ha vagy le fel mi itt ott azt ezt
        annak ennek aki ami amely akik amelyek hol hova honnan mikor miért hogyan mennyi hány melyik milyen
        minden lesz lehet kell nincs nekem neki őt ők én te ő mert majd úgy így igen után előtt alatt között
        által szerint vannak voltak volna pedig be
    """,
    "italian": """
        il lo la i gli le un uno una di a da in con su per tra fra del dello della dei degli delle al allo
        alla ai agli alle dal dallo dalla dai dagli dalle nel nello nella nei negli nelle sul sullo sulla
        sui sugli sulle e ed o ma se che chi cui non come dove quando quanto quanti quale quali perché è
        sono era erano essere stato stata ho ha hanno aveva avere mi ti si ci vi ne questo questa questi
        queste quello quella io tu lui lei noi voi loro mio tuo suo nostro anche più c l d
    """,
    "norwegian": """
        og i jeg det at en et den til er som på de med han av ikke der så var meg seg men ett har om vi min
        mitt ha hadde hun nå over da ved fra du ut sin dem oss opp man kan hans hvor eller hva skal selv
        sjøl her alle vil bli ble blei blitt kunne inn når være kom noen noe ville dere deres kun ja etter
        ned skulle denne for deg dette si hvordan hvorfor hvilken hvilke hvem uten mellom mye hver
    """,
    "portuguese": """
        o a os as um uma uns umas de do da dos das em no na nos nas por pelo pela pelos pelas para com sem
        sobre entre e ou mas que quem qual quais quando quanto quantos onde como porque não é são era eram
        foi foram ser está estão tem têm tinha ter há eu tu ele ela eles elas nós você vocês me te se lhe
        meu minha seu sua seus suas este esta isto esse essa isso aquele aquela ao aos à às também mais já
        até muito num numa
    """,
    "romanian": """
        și şi în la de pe cu un o al ai ale a este sunt era erau fost fi va vor am ai au că să nu din pentru
        prin despre dintre sau dar dacă când cum unde ce care cine cât câte câți cui lui ei lor eu tu el ea
        noi voi mă te se îi îl își acest această acesta aceasta aceste acești acel mai foarte doar după
        înainte fără până între peste sub ca
    """,
    "spanish": """
        el la los las un una unos unas de del a al en con por para sin sobre entre hasta desde y e o u pero
        si no que qué quien quién cual cuál cuáles cuando cuándo cuanto cuánto cuántos donde dónde como cómo
        porque es son era eran fue fueron ser está están estar ha han había haber hay yo tú él ella nosotros
        ellos ellas me te se nos le les lo mi mis tu su sus este esta esto estos estas ese esa eso aquel
        también más muy ya
    """,
    "swedish": """
        och det att i en jag hon som han på den med var sig för så till är men ett om hade de av icke mig du
        henne då sin nu har inte hans honom skulle hennes där min man ej vid kunde något från ut när efter
        upp vi dem vara vad över än dig kan sina här ha mot alla under någon eller allt mycket sedan ju
        denna själv detta åt utan varit hur ingen mitt ni bli blev oss din dessa några deras blir mina samma
        vilken er sådan vår vilka vem varför vilket mellan ska
    """,
    "turkish": """
        ve bir bu da de için ile mi mı mu mü ne o çok daha gibi kadar en ama ya ki her şey şu biz siz ben
        sen onlar var yok olan olarak olduğu oldu olur değil ise veya hem nasıl neden niçin nerede nereye
        nereden kim hangi kaç zaman sonra önce göre tarafından üzerinde altında arasında içinde bunun onun
        bunu onu diye bütün tüm
    """,
}
FUNCTION_WORDS = {language: frozenset(words.split()) for language, words in _LINES.items()}
