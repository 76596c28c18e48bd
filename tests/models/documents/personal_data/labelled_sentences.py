"""Sentences with personal data, marked as <kind>…</kind>, and sentences with numbers that look like them."""

import re
from collections.abc import Iterator

from models.enrichment.options import KINDS

MARK = re.compile(rf"<({'|'.join(KINDS)})>(.*?)</\1>", re.DOTALL)

SENTENCES = """
Write to <email>jane.doe@example.com</email> before Friday.
The invoice went to <email>o'brien+billing@mail.example.co.uk</email>.
Schreiben Sie an <email>max.müller@beispiel.de</email>, nicht an die Zentrale.
Contactez <email>accueil@mairie-exemple.fr</email> ou le guichet.
Escriba a <email>ana_lopez@correo.example.es</email>.
Пишите на <email>ivan@пример.рф</email> до пятницы.
请发送邮件到<email>wang.li@example.cn</email>联系我们。
Reach me at <email>jane (at) example (dot) com</email>.
Erreichbar unter <email>max [at] beispiel.de</email>.
The list: <email>a@example.org</email>, <email>b@example.org</email>; <email>c@example.org</email>.
<<email>root@example.net</email>> wrote yesterday.
mailto:<email>sales@example.io</email>?subject=hello
Her address (<email>eva.k@example.at</email>) is new.
Call <phone>+49 30 901820</phone> for an appointment.
Call <phone>+1 (555) 123-4567</phone> after noon.
My number is <phone>(212) 555-0142</phone>.
The office answers at <phone>212-555-0187</phone> all day.
Tel.: <phone>030 901820</phone>
Telefon <phone>0170 1234567</phone>, Fax <phone>030/9018299</phone>
Mobil: <phone>0171-7654321</phone>
Rufen Sie mich unter <phone>0151 23456789</phone> an.
Appelez le <phone>01 42 76 40 40</phone> le matin.
Notre numéro: <phone>+33 1 42 76 40 40</phone>.
Llame al <phone>612 345 678</phone> mañana.
Teléfono <phone>91 588 10 00</phone>
Chiamate il <phone>06 0608</phone> per informazioni.
Il numero è <phone>+39 06 6982 1234</phone>.
Ring <phone>020 7946 0958</phone> between nine and five.
The London office: <phone>+44 20 7946 0958</phone>.
Bel <phone>020 624 1111</phone> voor een afspraak.
Позвоните по телефону <phone>8 495 123-45-67</phone>.
Тел: <phone>+7 495 123-45-67</phone>
电话：<phone>010 6512 3456</phone>
手机<phone>13800138000</phone>
携帯 <phone>090-1234-5678</phone>
Fax: <phone>555-0199</phone>
International: <phone>0044 20 7946 0958</phone>
Her mobile is <phone>07700 900123</phone>.
Please pay with <card>4111 1111 1111 1111</card> today.
Card number <card>5500-0000-0000-0004</card>, valid to 12/27.
Amex <card>3782 822463 10005</card> was declined.
Kreditkarte <card>4012888888881881</card>
La tarjeta <card>6011111111111117</card> caducó.
The old card <card>4222222222222</card> has thirteen digits.
Carte : <card>5105 1051 0510 5100</card>
Transfer it to <iban>DE89 3704 0044 0532 0130 00</iban> by Monday.
IBAN: <iban>GB29NWBK60161331926819</iban>
Notre compte <iban>FR14 2004 1010 0505 0001 3M02 606</iban> est ouvert.
Rekening <iban>NL91ABNA0417164300</iban> van de vereniging.
Cuenta <iban>ES91 2100 0418 4502 0005 1332</iban>
Conto <iban>IT60 X054 2811 1010 0000 0123 456</iban> presso la banca.
Konto <iban>CH93 0076 2011 6238 5295 7</iban>
Numer konta: <iban>PL61 1090 1014 0000 0712 1981 2874</iban>
My SSN is <national_id>536-90-4399</national_id>.
Social security number <national_id>536904399</national_id>
His number, <national_id>219-45-6789</national_id>, was stolen.
National Insurance: <national_id>AB 12 34 56 C</national_id>
NINO <national_id>JG103759A</national_id>
Steuer-ID <national_id>36 574 261 809</national_id>
Die Identifikationsnummer lautet <national_id>65929970489</national_id>.
DNI <national_id>54362315-K</national_id>
Su DNI es <national_id>12345678Z</national_id>.
NIE: <national_id>X-2482300-W</national_id>
Codice fiscale <national_id>RCCMNL83S18D969H</national_id>
Numéro de sécurité sociale <national_id>2 95 10 99 126 111 93</national_id>
NIR <national_id>295109912611193</national_id>
AHV-Nummer <national_id>756.9217.0769.85</national_id>
Rijksregisternummer <national_id>85.07.30-033.28</national_id>
CPF <national_id>390.533.447-05</national_id>
Henkilötunnus <national_id>131052-308T</national_id>
Personnummer <national_id>880320-0016</national_id>
PESEL <national_id>44051401359</national_id>
BSN <national_id>111222333</national_id>
身份证号<national_id>11010519491231002X</national_id>
Aadhaar <national_id>2341 2341 2346</national_id>
The login came from <ip_address>203.0.113.77</ip_address>.
Client IP: <ip_address>10.0.0.15</ip_address>
Blocked <ip_address>198.51.100.23</ip_address> and <ip_address>192.0.2.146</ip_address>:8080.
Die Adresse <ip_address>2001:db8:85a3::8a2e:370:7334</ip_address> ist gesperrt.
From <ip_address>fe80::1ff:fe23:4567:890a</ip_address> again.
host <ip_address>2001:0db8:0000:0000:0000:ff00:0042:8329</ip_address> is up
""".strip().split("\n")

# Without any personal data.
NUMBERS_OF_THINGS = """
Version 1.2.3.4 was released on 2024-05-01.
Upgrade from v10.2.4 to v10.2.5, not to 11.0.0.
See section 3.2.1.4 of the manual.
3.2.1.4 Installing the pump
The build 2024.05.01.1234 failed.
Order number 212-555-0142 has shipped.
Order no. 4000123412341234 is late.
Bestellnummer 030 901820 ist unterwegs.
Rechnungsnummer 0170 1234567 vom 3. Mai 2024
Commande n° 01 42 76 40 40 expédiée.
ISBN 978-3-16-148410-0 is out of print.
ISBN-10: 0-306-40615-2
The book 0-306-40615-2 has 300 pages.
The meeting is on 01.05.2024 at 12:30.
From 2019-01-01 to 2023-12-31 it rained.
Between 1999 and 2001, and in 2004 2005 2006, sales rose.
Revenue was 1,234,567,890 dollars in 2023.
Der Umsatz betrug 12 345 678 Euro.
The coordinates are 52.5200, 13.4050.
Pi is 3.14159265358979.
0.12345678 of the mass is lost.
The commit 4f2a9c1 fixes issue 123456.
Ticket 0800123456 is closed.
Part number 0170-1234567 fits both pumps.
Use port 8080 or 50051.
The tracking code is 1Z999AA10123456784.
Serial 123-45-6789-0001
It weighs 1200 kg and costs 4500.00.
Table 12 lists 100 200 300 400 500 600 of them.
The ratio is 16:9, at 23:59:59 sharp.
std::vector and a::b are names of C++.
MAC aa:bb:cc:dd:ee:ff is no address of a network.
The score was 21-19 21-17 after 45 minutes.
RFC 2616 replaces RFC 2068.
Aktenzeichen 12 O 345/23
The sample has 1000000 rows and 250 columns.
EAN 4006381333931 is on the box.
git@github.com:example/project.git is a repository.
Install react@18.2.0 and lodash@4.17.21.
Follow @example on the network.
The card 4111 1111 1111 1112 has a wrong digit.
DE89 3704 0044 0532 0130 01 is mistyped.
54362315-A is no identity.
Room 0.123, floor 2, seat 45
The temperature fell to -12.5 at 6.30.
Chapter 10.2.3 begins on page 214.
Model 600-700-8000 is discontinued.
Batch 20240501 has 12000 pieces.
Article 0123 456789 is sold out.
He ran 100 m in 9.58 and 200 m in 19.19.
The sum 4000000000000000 is round.
ISO 27001:2022 and DIN EN 50126-1 apply.
Der Zähler steht bei 001234567.
Les 12 13 14 mai 2024
In 1,000,000 draws, 123456 were red.
The loopback is 127.0.0.1.
""".strip().split("\n")


def labelled() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each sentence without its marks, and its personal data: the kind and the text."""
    for sentence in (*SENTENCES, *NUMBERS_OF_THINGS):
        yield MARK.sub(r"\2", sentence), [(mark.group(1), mark.group(2)) for mark in MARK.finditer(sentence)]
