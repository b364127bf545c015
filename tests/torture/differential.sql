-- What docs/sirene says of a dataset, once more and in other words: macros over the text of cells, and tables of the register.
-- `differential.py` loads it into DuckDB, and fills `naf`, `place` (establishments) and `unit` (legal units) with the files as they are.

-- What a job asks for; the day of the stock is computed of its rows.
SET VARIABLE person_names = false;
SET VARIABLE joined = false;
SET VARIABLE has_history = false;
SET VARIABLE has_units = true;
SET VARIABLE deep = true;
SET VARIABLE stock = DATE '2026-11-01';
SET VARIABLE contactability = 50;
SET VARIABLE unicity = 20;
SET VARIABLE completeness = 20;
SET VARIABLE freshness = 10;

-- Numbers: whatever zeros, spaces or decimals a spreadsheet made of them.
CREATE MACRO bare(t) AS regexp_replace(regexp_replace(t, '\s', '', 'g'), '\.0*$', '');
CREATE MACRO number(t, n) AS CASE WHEN regexp_full_match(bare(t), '[0-9]+') AND length(bare(t)) <= n THEN lpad(bare(t), n, '0') END;
CREATE MACRO digit(t, i) AS ascii(substr(t, i, 1)) - 48;
CREATE MACRO luhn(t) AS list_sum(list_transform(range(1, length(t) + 1), lambda i:
  CASE WHEN (length(t) - i) % 2 = 0 THEN digit(t, i) WHEN digit(t, i) > 4 THEN digit(t, i) * 2 - 9 ELSE digit(t, i) * 2 END)) % 10 = 0;
CREATE MACRO sum_of_digits(t) AS list_sum(list_transform(range(1, length(t) + 1), lambda i: digit(t, i)));
CREATE MACRO good_siren(t) AS coalesce(regexp_full_match(t, '[0-9]{9}') AND t <> '000000000' AND luhn(t), false);
CREATE MACRO good_siret(t) AS coalesce(regexp_full_match(t, '[0-9]{14}') AND good_siren(t[:9])
  AND CASE WHEN t[:9] = '356000000' AND t <> '35600000000048' THEN sum_of_digits(t) % 5 = 0 ELSE luhn(t) END, false);

-- Words: case, accents, blanks and marks do not matter.
CREATE MACRO plain(t) AS lower(strip_accents(t));
CREATE MACRO squeezed(t) AS regexp_replace(plain(t), '[^a-z0-9]', '', 'g');
CREATE MACRO tidy(t) AS nullif(trim(regexp_replace(replace(t, '’', ''''), '\s+', ' ', 'g')), '');
CREATE MACRO spaced(t) AS trim(regexp_replace(plain(t), '[^a-z0-9]+', ' ', 'g'));

-- Activities: a code is known by its letters and digits, a list by its name.
CREATE MACRO code(t) AS CASE WHEN t IS NOT NULL THEN upper(squeezed(t)) END;
CREATE MACRO dotted(t) AS CASE WHEN regexp_full_match(code(t), '[0-9]{4}[A-Z]') THEN code(t)[:2] || '.' || code(t)[3:] ELSE tidy(t) END;
CREATE MACRO list_of(t) AS coalesce(CASE squeezed(t)
  WHEN 'nafrev2' THEN 'NAFRev2' WHEN 'naf2008' THEN 'NAFRev2' WHEN 'naf2025' THEN 'NAF2025' WHEN 'naf25' THEN 'NAF2025'
  WHEN 'nafrev1' THEN 'NAFRev1' WHEN 'naf2003' THEN 'NAFRev1' WHEN 'naf1993' THEN 'NAF1993' WHEN 'nap' THEN 'NAP' END, tidy(t));

-- What is written in another way.
CREATE MACRO state(t) AS CASE WHEN squeezed(t) IN ('a', 'actif') THEN 'A' WHEN squeezed(t) IN ('f', 'ferme') THEN 'F' ELSE t END;
CREATE MACRO yes_no(t) AS CASE WHEN squeezed(t) IN ('o', 'oui', 'true') THEN 'O' WHEN squeezed(t) IN ('n', 'non', 'false') THEN 'N' ELSE t END;
CREATE MACRO truth(t) AS CASE WHEN squeezed(t) IN ('true', 'oui', 'o', 'vrai', '1') THEN true WHEN squeezed(t) IN ('false', 'non', 'n', 'faux', '0') THEN false END;
CREATE MACRO day(t) AS CASE
  WHEN regexp_full_match(t, '[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?') THEN try_cast(t[:10] AS DATE)
  WHEN regexp_full_match(t, '[0-9]{8}') THEN try_cast(t[:4] || '-' || t[5:6] || '-' || t[7:] AS DATE) END;
CREATE MACRO moment(t) AS CASE
  WHEN regexp_full_match(t, '[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9].*') THEN try_cast(t AS TIMESTAMP)
  ELSE day(t)::TIMESTAMP END;
CREATE MACRO treated(t) AS CASE WHEN year(moment(t)) BETWEEN 1970 AND 2100 THEN moment(t) END;
CREATE MACRO metres(t) AS CASE WHEN regexp_full_match(replace(t, ',', '.'), '-?[0-9]+(\.[0-9]+)?') THEN replace(t, ',', '.') ELSE t END;

CREATE TABLE band(band VARCHAR, least BIGINT, most BIGINT, label VARCHAR);
INSERT INTO band VALUES ('NN', 0, 0, 'Aucun salarié ou effectif inconnu'), ('00', 0, 0, '0 salarié (mais employeur dans l''année)'), ('01', 1, 2, '1 ou 2 salariés'),
  ('02', 3, 5, '3 à 5 salariés'), ('03', 6, 9, '6 à 9 salariés'), ('11', 10, 19, '10 à 19 salariés'), ('12', 20, 49, '20 à 49 salariés'),
  ('21', 50, 99, '50 à 99 salariés'), ('22', 100, 199, '100 à 199 salariés'), ('31', 200, 249, '200 à 249 salariés'), ('32', 250, 499, '250 à 499 salariés'),
  ('41', 500, 999, '500 à 999 salariés'), ('42', 1000, 1999, '1 000 à 1 999 salariés'), ('51', 2000, 4999, '2 000 à 4 999 salariés'),
  ('52', 5000, 9999, '5 000 à 9 999 salariés'), ('53', 10000, NULL, '10 000 salariés et plus');
CREATE MACRO band_of(t) AS nullif(coalesce(CASE WHEN squeezed(t) LIKE 'etablissementnonemployeu%' THEN 'NN' END, (SELECT any_value(b.band) FROM band b WHERE squeezed(b.label) = squeezed(t) OR b.band = upper(trim(t)) OR b.band = number(t, 2)), tidy(t)), '[ND]');

-- The official geographic code, and what lies where.
CREATE TABLE department(code VARCHAR, name VARCHAR, region VARCHAR);
INSERT INTO department VALUES
  ('01','Ain','Auvergne-Rhône-Alpes'),('02','Aisne','Hauts-de-France'),('03','Allier','Auvergne-Rhône-Alpes'),('04','Alpes-de-Haute-Provence','Provence-Alpes-Côte d''Azur'),
  ('05','Hautes-Alpes','Provence-Alpes-Côte d''Azur'),('06','Alpes-Maritimes','Provence-Alpes-Côte d''Azur'),('07','Ardèche','Auvergne-Rhône-Alpes'),('08','Ardennes','Grand Est'),
  ('09','Ariège','Occitanie'),('10','Aube','Grand Est'),('11','Aude','Occitanie'),('12','Aveyron','Occitanie'),('13','Bouches-du-Rhône','Provence-Alpes-Côte d''Azur'),
  ('14','Calvados','Normandie'),('15','Cantal','Auvergne-Rhône-Alpes'),('16','Charente','Nouvelle-Aquitaine'),('17','Charente-Maritime','Nouvelle-Aquitaine'),('18','Cher','Centre-Val de Loire'),
  ('19','Corrèze','Nouvelle-Aquitaine'),('2A','Corse-du-Sud','Corse'),('2B','Haute-Corse','Corse'),('21','Côte-d''Or','Bourgogne-Franche-Comté'),('22','Côtes-d''Armor','Bretagne'),
  ('23','Creuse','Nouvelle-Aquitaine'),('24','Dordogne','Nouvelle-Aquitaine'),('25','Doubs','Bourgogne-Franche-Comté'),('26','Drôme','Auvergne-Rhône-Alpes'),('27','Eure','Normandie'),
  ('28','Eure-et-Loir','Centre-Val de Loire'),('29','Finistère','Bretagne'),('30','Gard','Occitanie'),('31','Haute-Garonne','Occitanie'),('32','Gers','Occitanie'),('33','Gironde','Nouvelle-Aquitaine'),
  ('34','Hérault','Occitanie'),('35','Ille-et-Vilaine','Bretagne'),('36','Indre','Centre-Val de Loire'),('37','Indre-et-Loire','Centre-Val de Loire'),('38','Isère','Auvergne-Rhône-Alpes'),
  ('39','Jura','Bourgogne-Franche-Comté'),('40','Landes','Nouvelle-Aquitaine'),('41','Loir-et-Cher','Centre-Val de Loire'),('42','Loire','Auvergne-Rhône-Alpes'),('43','Haute-Loire','Auvergne-Rhône-Alpes'),
  ('44','Loire-Atlantique','Pays de la Loire'),('45','Loiret','Centre-Val de Loire'),('46','Lot','Occitanie'),('47','Lot-et-Garonne','Nouvelle-Aquitaine'),('48','Lozère','Occitanie'),
  ('49','Maine-et-Loire','Pays de la Loire'),('50','Manche','Normandie'),('51','Marne','Grand Est'),('52','Haute-Marne','Grand Est'),('53','Mayenne','Pays de la Loire'),('54','Meurthe-et-Moselle','Grand Est'),
  ('55','Meuse','Grand Est'),('56','Morbihan','Bretagne'),('57','Moselle','Grand Est'),('58','Nièvre','Bourgogne-Franche-Comté'),('59','Nord','Hauts-de-France'),('60','Oise','Hauts-de-France'),
  ('61','Orne','Normandie'),('62','Pas-de-Calais','Hauts-de-France'),('63','Puy-de-Dôme','Auvergne-Rhône-Alpes'),('64','Pyrénées-Atlantiques','Nouvelle-Aquitaine'),('65','Hautes-Pyrénées','Occitanie'),
  ('66','Pyrénées-Orientales','Occitanie'),('67','Bas-Rhin','Grand Est'),('68','Haut-Rhin','Grand Est'),('69','Rhône','Auvergne-Rhône-Alpes'),('70','Haute-Saône','Bourgogne-Franche-Comté'),
  ('71','Saône-et-Loire','Bourgogne-Franche-Comté'),('72','Sarthe','Pays de la Loire'),('73','Savoie','Auvergne-Rhône-Alpes'),('74','Haute-Savoie','Auvergne-Rhône-Alpes'),('75','Paris','Île-de-France'),
  ('76','Seine-Maritime','Normandie'),('77','Seine-et-Marne','Île-de-France'),('78','Yvelines','Île-de-France'),('79','Deux-Sèvres','Nouvelle-Aquitaine'),('80','Somme','Hauts-de-France'),('81','Tarn','Occitanie'),
  ('82','Tarn-et-Garonne','Occitanie'),('83','Var','Provence-Alpes-Côte d''Azur'),('84','Vaucluse','Provence-Alpes-Côte d''Azur'),('85','Vendée','Pays de la Loire'),('86','Vienne','Nouvelle-Aquitaine'),
  ('87','Haute-Vienne','Nouvelle-Aquitaine'),('88','Vosges','Grand Est'),('89','Yonne','Bourgogne-Franche-Comté'),('90','Territoire de Belfort','Bourgogne-Franche-Comté'),('91','Essonne','Île-de-France'),
  ('92','Hauts-de-Seine','Île-de-France'),('93','Seine-Saint-Denis','Île-de-France'),('94','Val-de-Marne','Île-de-France'),('95','Val-d''Oise','Île-de-France'),
  ('971','Guadeloupe','Guadeloupe'),('972','Martinique','Martinique'),('973','Guyane','Guyane'),('974','La Réunion','La Réunion'),('976','Mayotte','Mayotte'),
  ('975','Saint-Pierre-et-Miquelon',NULL),('977','Saint-Barthélemy',NULL),('978','Saint-Martin',NULL),('984','Terres australes et antarctiques françaises',NULL),
  ('986','Wallis-et-Futuna',NULL),('987','Polynésie française',NULL),('988','Nouvelle-Calédonie',NULL),('989','Île de Clipperton',NULL);
CREATE MACRO five(t) AS CASE WHEN regexp_full_match(bare(t), '[0-9]{4,5}') THEN lpad(bare(t), 5, '0') ELSE t END;
CREATE MACRO department_of(prefixes) AS (SELECT any_value(d.code) FROM department d WHERE list_contains(prefixes, d.code));
CREATE MACRO by_commune(t) AS CASE WHEN regexp_full_match(upper(t), '[0-9][0-9AB][0-9]{3}') THEN department_of([upper(t)[:2], upper(t)[:3]]) END;
CREATE MACRO by_post(t) AS CASE WHEN NOT regexp_full_match(t, '[0-9]{5}') THEN NULL WHEN t = '97133' THEN '977' WHEN t = '97150' THEN '978'
  WHEN t BETWEEN '20000' AND '20199' THEN '2A' WHEN t BETWEEN '20200' AND '20620' THEN '2B' ELSE department_of([t[:2], t[:3]]) END;

CREATE TABLE street(short VARCHAR, long VARCHAR);
INSERT INTO street VALUES ('ALL','ALLÉE'),('ALLEE','ALLÉE'),('AV','AVENUE'),('BD','BOULEVARD'),('BVD','BOULEVARD'),('CAR','CARREFOUR'),('CC','CENTRE COMMERCIAL'),('CHE','CHEMIN'),
  ('CHEM','CHEMIN'),('CHS','CHAUSSÉE'),('CHAUSSEE','CHAUSSÉE'),('CITE','CITÉ'),('COR','CORNICHE'),('CRS','COURS'),('CTRE','CENTRE'),('DOM','DOMAINE'),('DSC','DESCENTE'),('ECA','ÉCART'),
  ('ESP','ESPLANADE'),('FG','FAUBOURG'),('GR','GRANDE RUE'),('HAM','HAMEAU'),('HLE','HALLE'),('IMM','IMMEUBLE'),('IMP','IMPASSE'),('LD','LIEU-DIT'),('LOT','LOTISSEMENT'),('MAR','MARCHÉ'),
  ('MTE','MONTÉE'),('MONTEE','MONTÉE'),('PAS','PASSAGE'),('PASS','PASSAGE'),('PL','PLACE'),('PLN','PLAINE'),('PLT','PLATEAU'),('PRO','PROMENADE'),('PROM','PROMENADE'),('PRV','PARVIS'),
  ('QU','QUAI'),('QUA','QUARTIER'),('QUAR','QUARTIER'),('RES','RÉSIDENCE'),('RESIDENCE','RÉSIDENCE'),('RLE','RUELLE'),('ROC','ROCADE'),('RPT','ROND-POINT'),('RTE','ROUTE'),('SEN','SENTE'),
  ('SQ','SQUARE'),('TPL','TERRE-PLEIN'),('TRA','TRAVERSE'),('VLA','VILLA'),('VLGE','VILLAGE'),('VOI','VOIE'),('ZA','ZONE D''ACTIVITÉS'),('ZAC','ZONE D''AMÉNAGEMENT CONCERTÉ'),
  ('ZI','ZONE INDUSTRIELLE');
CREATE MACRO street_type(t) AS coalesce((SELECT any_value(s.long) FROM street s WHERE s.short = t), t);
CREATE MACRO index_word(t) AS CASE t WHEN 'B' THEN 'BIS' WHEN 'T' THEN 'TER' WHEN 'Q' THEN 'QUATER' WHEN 'C' THEN 'QUINQUIES' ELSE t END;
CREATE MACRO joined_by(l, s) AS nullif(array_to_string(list_filter(l, lambda w: w IS NOT NULL), s), '');
CREATE MACRO words(l, s) AS CASE WHEN contains(joined_by(l, s), '[ND]') THEN '[ND]' ELSE joined_by(l, s) END;

CREATE TABLE legal_form(form VARCHAR, label VARCHAR);
INSERT INTO legal_form VALUES ('10', 'Entrepreneur individuel'), ('21', 'Indivision'), ('22', 'Société créée de fait'), ('23', 'Société en participation'), ('52', 'Société en nom collectif'),
  ('54', 'Société à responsabilité limitée (SARL)'), ('57', 'Société par actions simplifiée'), ('72', 'Collectivité territoriale'), ('92', 'Association loi 1901 ou assimilé');
CREATE MACRO is_person(form) AS coalesce(form[:1] = '1' OR form[:2] IN ('21', '22', '23'), false);

CREATE TABLE section(list VARCHAR, letter VARCHAR, first VARCHAR, last VARCHAR, label VARCHAR);
INSERT INTO section VALUES
  ('NAFRev2','A','01','03','Agriculture, sylviculture et pêche'),('NAFRev2','B','05','09','Industries extractives'),('NAFRev2','C','10','33','Industrie manufacturière'),
  ('NAFRev2','D','35','35','Production et distribution d''électricité, de gaz, de vapeur et d''air conditionné'),('NAFRev2','E','36','39','Production et distribution d''eau ; assainissement, gestion des déchets et dépollution'),
  ('NAFRev2','F','41','43','Construction'),('NAFRev2','G','45','47','Commerce ; réparation d''automobiles et de motocycles'),('NAFRev2','H','49','53','Transports et entreposage'),
  ('NAFRev2','I','55','56','Hébergement et restauration'),('NAFRev2','J','58','63','Information et communication'),('NAFRev2','K','64','66','Activités financières et d''assurance'),('NAFRev2','L','68','68','Activités immobilières'),
  ('NAFRev2','M','69','75','Activités spécialisées, scientifiques et techniques'),('NAFRev2','N','77','82','Activités de services administratifs et de soutien'),('NAFRev2','O','84','84','Administration publique'),
  ('NAFRev2','P','85','85','Enseignement'),('NAFRev2','Q','86','88','Santé humaine et action sociale'),('NAFRev2','R','90','93','Arts, spectacles et activités récréatives'),('NAFRev2','S','94','96','Autres activités de services'),
  ('NAFRev2','T','97','98','Activités des ménages en tant qu''employeurs ; activités indifférenciées des ménages en tant que producteurs de biens et services pour usage propre'),('NAFRev2','U','99','99','Activités extra-territoriales'),
  ('NAF2025','A','01','03','Agriculture, sylviculture et pêche'),('NAF2025','B','05','09','Industries extractives'),('NAF2025','C','10','33','Industrie manufacturière'),('NAF2025','D','35','35','Production et distribution d''électricité, de gaz, de vapeur et d''air conditionné'),('NAF2025','E','36','39','Production et distribution d''eau ; assainissement, gestion des déchets et dépollution'),('NAF2025','F','41','43','Construction'),('NAF2025','G','46','47','Commerce'),
  ('NAF2025','H','49','53','Transports et entreposage'),('NAF2025','I','55','56','Hébergement et restauration'),('NAF2025','J','58','60','Édition, diffusion, production et distribution de contenu'),('NAF2025','K','61','63','Télécommunications, programmation, conseil et services d''information'),('NAF2025','L','64','66','Activités financières et d''assurance'),('NAF2025','M','68','68','Activités immobilières'),('NAF2025','N','69','75','Activités spécialisées, scientifiques et techniques'),
  ('NAF2025','O','77','82','Activités de services administratifs et de soutien'),('NAF2025','P','84','84','Administration publique'),('NAF2025','Q','85','85','Enseignement'),('NAF2025','R','86','88','Santé humaine et action sociale'),('NAF2025','S','90','93','Arts, sports et activités récréatives'),('NAF2025','T','94','96','Autres activités de services'),('NAF2025','U','97','98','Activités des ménages en tant qu''employeurs ou producteurs pour usage propre'),('NAF2025','V','99','99','Activités extra-territoriales');

-- Degrees of metres. Both are Snyder's series on GRS 80 (USGS professional paper 1395), in radians.
CREATE MACRO e2() AS 0.00669438002290;
CREATE MACRO lambert_m(p) AS cos(p) / sqrt(1 - e2() * sin(p) ** 2);
CREATE MACRO lambert_t(p) AS tan(pi() / 4 - p / 2) / ((1 - sqrt(e2()) * sin(p)) / (1 + sqrt(e2()) * sin(p))) ** (sqrt(e2()) / 2);
CREATE MACRO lambert_n(p1, p2) AS (ln(lambert_m(p1)) - ln(lambert_m(p2))) / (ln(lambert_t(p1)) - ln(lambert_t(p2)));
CREATE MACRO from_conformal(c) AS c + (e2()/2 + 5*e2()**2/24 + e2()**3/12 + 13*e2()**4/360) * sin(2*c) + (7*e2()**2/48 + 29*e2()**3/240 + 811*e2()**4/11520) * sin(4*c)
  + (7*e2()**3/120 + 81*e2()**4/1120) * sin(6*c) + 4279*e2()**4/161280 * sin(8*c);
CREATE TABLE projection(department VARCHAR, kind VARCHAR, meridian DOUBLE, south BOOLEAN);
INSERT INTO projection VALUES ('971', 'utm', -63, false), ('972', 'utm', -63, false), ('977', 'utm', -63, false), ('978', 'utm', -63, false), ('975', 'utm', -57, false),
  ('973', 'utm', -51, false), ('976', 'utm', 45, true), ('974', 'utm', 57, true), ('986', 'utm', -177, true), ('988', 'caledonia', 166, true),
  ('984', NULL, NULL, NULL), ('987', NULL, NULL, NULL), ('989', NULL, NULL, NULL);
CREATE MACRO cone(x, y, p0, p1, p2, l0, x0, y0) AS (
  WITH c AS (SELECT lambert_n(radians(p1), radians(p2)) AS n),
  d AS (SELECT n, lambert_m(radians(p1)) / (n * lambert_t(radians(p1)) ** n) * 6378137 AS af FROM c),
  r AS (SELECT n, af, x - x0 AS dx, af * lambert_t(radians(p0)) ** n - (y - y0) AS dy FROM d)
  SELECT [l0 + degrees(atan(dx / dy) / n), degrees(from_conformal(pi() / 2 - 2 * atan((sign(n) * sqrt(dx ** 2 + dy ** 2) / af) ** (1 / n))))] FROM r);
CREATE MACRO utm(x, y, l0, south) AS (
  WITH a AS (SELECT (y - CASE WHEN south THEN 1e7 ELSE 0 END) / 0.9996 / (6378137 * (1 - e2()/4 - 3*e2()**2/64 - 5*e2()**3/256)) AS mu,
    (1 - sqrt(1 - e2())) / (1 + sqrt(1 - e2())) AS e1, e2() / (1 - e2()) AS ep),
  b AS (SELECT ep, mu + (3*e1/2 - 27*e1**3/32) * sin(2*mu) + (21*e1**2/16 - 55*e1**4/32) * sin(4*mu) + 151*e1**3/96 * sin(6*mu) + 1097*e1**4/512 * sin(8*mu) AS p FROM a),
  c AS (SELECT ep, p, ep * cos(p)**2 AS c1, tan(p)**2 AS t1, 6378137 / sqrt(1 - e2() * sin(p)**2) AS n1,
    6378137 * (1 - e2()) / (1 - e2() * sin(p)**2) ** 1.5 AS r1 FROM b),
  d AS (SELECT *, (x - 5e5) / (n1 * 0.9996) AS d FROM c)
  SELECT [l0 + degrees((d - (1 + 2*t1 + c1) * d**3/6 + (5 - 2*c1 + 28*t1 - 3*c1**2 + 8*ep + 24*t1**2) * d**5/120) / cos(p)),
    degrees(p - n1 * tan(p) / r1 * (d**2/2 - (5 + 3*t1 + 10*c1 - 4*c1**2 - 9*ep) * d**4/24 + (61 + 90*t1 + 298*c1 + 45*t1**2 - 252*ep - 3*c1**2) * d**6/720))] FROM d);

-- The newest row of each number counts; who may be shown is asked of all rows.
CREATE MACRO text_set(l) AS list_transform(l, lambda w: code(w));
CREATE VIEW known_place AS SELECT *, coalesce(number(siret, 14), siret) AS place_key, coalesce(number(siren, 9), number(siret, 14)[:9]) AS unit_key,
  CASE WHEN getvariable('joined') THEN ord::VARCHAR ELSE coalesce(number(siren, 9), number(siret, 14)[:9]) END AS row_key FROM place;
CREATE VIEW known_unit AS SELECT *, coalesce(number(siren, 9), siren) AS unit_key, CASE WHEN getvariable('joined') THEN ord::VARCHAR ELSE number(siren, 9) END AS row_key
  FROM unit WHERE NOT getvariable('joined') OR categorieJuridiqueUniteLegale IS NOT NULL OR statutDiffusionUniteLegale IS NOT NULL;
CREATE VIEW current_place AS SELECT * FROM known_place
  QUALIFY row_number() OVER (PARTITION BY place_key ORDER BY treated(dateDernierTraitementEtablissement) DESC NULLS LAST, ord DESC) = 1;
CREATE VIEW current_unit AS SELECT * FROM known_unit
  QUALIFY row_number() OVER (PARTITION BY row_key ORDER BY treated(dateDernierTraitementUniteLegale) DESC NULLS LAST, ord DESC) = 1;
CREATE VIEW hidden_place AS SELECT DISTINCT place_key FROM known_place WHERE statutDiffusionEtablissement IS DISTINCT FROM 'O';
CREATE VIEW hidden_unit AS SELECT DISTINCT unit_key FROM known_unit WHERE statutDiffusionUniteLegale IS DISTINCT FROM 'O';
CREATE VIEW named AS
  SELECT c.*, u.categorieJuridiqueUniteLegale AS form, u.unit_key IS NOT NULL AS has_unit,
    p.place_key IS NOT NULL OR h.unit_key IS NOT NULL AS hidden,
    is_person(u.categorieJuridiqueUniteLegale) AND NOT getvariable('person_names') AS withheld,
    list_filter([spaced(u.nomUniteLegale), spaced(u.nomUsageUniteLegale), spaced(u.pseudonymeUniteLegale), spaced(u.denominationUniteLegale), spaced(u.sigleUniteLegale)],
      lambda w: length(replace(w, ' ', '')) > 2) AS own_names,
    coalesce(tidy(u.denominationUniteLegale),
      CASE WHEN getvariable('person_names') AND coalesce(u.nomUsageUniteLegale, u.nomUniteLegale) IS NOT NULL THEN words([coalesce(tidy(u.prenomUsuelUniteLegale), tidy(u.prenom1UniteLegale)), coalesce(tidy(u.nomUsageUniteLegale), tidy(u.nomUniteLegale))], ' ') END,
      tidy(u.sigleUniteLegale)) AS unit_name,
    words([numeroVoieEtablissement, index_word(indiceRepetitionEtablissement)], ' ') AS first_number,
    words([dernierNumeroVoieEtablissement, index_word(indiceRepetitionDernierNumeroVoieEtablissement)], ' ') AS last_number,
    u.categorieEntreprise AS category, u.economieSocialeSolidaireUniteLegale AS social, u.societeMissionUniteLegale AS mission
  FROM current_place c LEFT JOIN current_unit u USING (row_key) LEFT JOIN hidden_place p USING (place_key) LEFT JOIN hidden_unit h ON h.unit_key = c.unit_key;

-- A cell that says something, which then may not be understood.
CREATE MACRO strange(t) AS t IS NOT NULL AND t <> '[ND]';

-- The columns of a dataset before anybody is left out or masked.
CREATE MACRO holds(sign, name) AS contains(spaced(sign), name) OR (contains(name, ' ') AND contains(squeezed(sign), replace(name, ' ', '')));
CREATE MACRO shown(sign, withheld, own_names) AS CASE WHEN NOT (withheld AND len(list_filter(own_names, lambda w: holds(sign, w))) > 0) THEN tidy(sign) END;
CREATE VIEW cells AS
  SELECT ord, place_key, hidden, has_unit, withheld,
    CASE WHEN siret = number(siret, 14) OR good_siret(number(siret, 14)) THEN number(siret, 14) ELSE tidy(siret) END AS siret,
    CASE WHEN siren IS NULL THEN number(siret, 14)[:9] WHEN siren = number(siren, 9) OR good_siren(number(siren, 9)) THEN number(siren, 9) ELSE tidy(siren) END AS siren,
    CASE WHEN NOT withheld THEN unit_name END AS raison_sociale,
    coalesce(shown(enseigne1Etablissement, withheld, own_names), shown(denominationUsuelleEtablissement, withheld, own_names), CASE WHEN NOT withheld THEN unit_name END) AS enseigne,
    words([tidy(complementAdresseEtablissement), tidy(distributionSpecialeEtablissement), words([codeCedexEtablissement, tidy(libelleCedexEtablissement)], ' ')], ', ') AS complement_adresse,
    words([CASE WHEN last_number IN (first_number, numeroVoieEtablissement) THEN first_number ELSE words([first_number, last_number], '-') END,
      street_type(tidy(typeVoieEtablissement)), tidy(libelleVoieEtablissement)], ' ') AS adresse,
    five(codePostalEtablissement) AS code_postal,
    coalesce(libelleCommuneEtablissement, libelleCommuneEtrangerEtablissement) AS commune,
    upper(five(codeCommuneEtablissement)) AS code_commune,
    libellePaysEtrangerEtablissement AS pays,
    dotted(activitePrincipaleEtablissement) AS naf,
    list_of(nomenclatureActivitePrincipaleEtablissement) AS nomenclature,
    dotted(activitePrincipaleNAF25Etablissement) AS naf_2025,
    state(etatAdministratifEtablissement) AS etat,
    nullif(day(dateCreationEtablissement), DATE '1900-01-01') AS date_creation,
    day(dateDebut) AS date_debut,
    truth(etablissementSiege) AS siege,
    yes_no(caractereEmployeurEtablissement) AS employeur,
    band_of(trancheEffectifsEtablissement) AS tranche_effectifs,
    CASE WHEN hidden AND coalesce(statutDiffusionEtablissement, 'O') = 'O' THEN 'P' ELSE statutDiffusionEtablissement END AS statut_diffusion,
    day(dateDernierTraitementEtablissement) AS date_traitement,
    metres(coordonneeLambertAbscisseEtablissement) AS x, metres(coordonneeLambertOrdonneeEtablissement) AS y,
    form AS forme_juridique, category AS categorie_entreprise, social AS economie_sociale, mission AS societe_mission,
    siret <> number(siret, 14) AND good_siret(number(siret, 14)) OR coalesce(siren <> number(siren, 9) AND good_siren(number(siren, 9)), false)
      OR coalesce(libellePaysEtrangerEtablissement IS NULL AND (NOT hidden AND five(codePostalEtablissement) <> codePostalEtablissement OR five(codeCommuneEtablissement) <> codeCommuneEtablissement), false) AS numero_repare,
    longitude AS given_longitude, latitude AS given_latitude,
    nomenclatureActivitePrincipaleEtablissement AS raw_list,
    strange(etatAdministratifEtablissement) AND state(etatAdministratifEtablissement) NOT IN ('A', 'F') AS odd_etatAdministratifEtablissement,
    strange(statutDiffusionEtablissement) AND statutDiffusionEtablissement NOT IN ('O', 'P', 'N') AS odd_statutDiffusionEtablissement,
    strange(caractereEmployeurEtablissement) AND yes_no(caractereEmployeurEtablissement) NOT IN ('O', 'N') AS odd_caractereEmployeurEtablissement,
    strange(trancheEffectifsEtablissement) AND band_of(trancheEffectifsEtablissement) NOT IN (SELECT band FROM band) AS odd_trancheEffectifsEtablissement,
    strange(dateCreationEtablissement) AND day(dateCreationEtablissement) IS NULL AS odd_dateCreationEtablissement,
    strange(dateDebut) AND day(dateDebut) IS NULL AS odd_dateDebut,
    strange(dateDernierTraitementEtablissement) AND day(dateDernierTraitementEtablissement) IS NULL AS odd_dateDernierTraitementEtablissement,
    strange(etablissementSiege) AND truth(etablissementSiege) IS NULL AS odd_etablissementSiege,
    strange(nomenclatureActivitePrincipaleEtablissement) AND list_of(nomenclatureActivitePrincipaleEtablissement) NOT IN ('NAFRev2', 'NAF2025', 'NAFRev1', 'NAF1993', 'NAP') AS odd_nomenclatureActivitePrincipaleEtablissement
  FROM named;
CREATE VIEW placed AS
  SELECT c.* EXCLUDE (code_postal), c.code_postal, CASE WHEN pays IS NULL THEN coalesce(by_commune(code_commune), CASE WHEN NOT hidden THEN by_post(code_postal) END) END AS departement FROM cells c;
CREATE VIEW candidate AS SELECT p.*, CASE WHEN NOT hidden THEN code_postal END AS open_post, d.region, d.name AS departement_nom, b.least, b.most, b.label AS effectifs_libelle
  FROM placed p LEFT JOIN department d ON d.code = p.departement LEFT JOIN band b ON b.band = p.tranche_effectifs;

-- A dataset of the rows in `kept`: masked, with labels, coordinates and scores.
CREATE TABLE kept AS SELECT *, 1 AS repetition FROM candidate LIMIT 0;
CREATE MACRO mask(t, hidden) AS CASE WHEN hidden THEN '[ND]' ELSE t END;
CREATE MACRO years(a, b) AS year(b) - year(a) - CASE WHEN (month(b), day_of_month(b)) < (month(a), day_of_month(a)) THEN 1 ELSE 0 END;
CREATE MACRO day_of_month(d) AS date_part('day', d);
CREATE VIEW labelled AS
  SELECT k.* REPLACE (CASE WHEN NOT withheld AND getvariable('has_units') THEN mask(raison_sociale, hidden) END AS raison_sociale, mask(enseigne, hidden) AS enseigne, mask(complement_adresse, hidden) AS complement_adresse,
      mask(adresse, hidden) AS adresse, mask(code_postal, hidden) AS code_postal, mask(x, hidden) AS x, mask(y, hidden) AS y),
    x AS open_x, y AS open_y,
    good_siren(k.siren) AS siren_valide, good_siret(k.siret) AS siret_valide,
    CASE WHEN good_siren(k.siren) AND pays IS NULL AND departement IS NOT NULL AND departement NOT IN ('973', '976', '975', '977', '978', '984', '986', '987', '988', '989')
      THEN 'FR' || lpad(((12 + 3 * (k.siren::BIGINT % 97)) % 97)::VARCHAR, 2, '0') || k.siren END AS tva,
    n.label AS naf_libelle, m.label AS naf_2025_libelle, s.letter AS section, s.label AS section_libelle, f.label AS forme_juridique_libelle,
    CASE WHEN year(date_creation) >= 1800 AND date_creation <= getvariable('stock') THEN years(date_creation, getvariable('stock')) END AS age_annees,
    n.list AS known_list
  FROM kept k
    LEFT JOIN naf n ON n.code = k.naf AND coalesce(k.nomenclature, n.list) = n.list
    LEFT JOIN naf m ON m.code = k.naf_2025 AND m.list = 'NAF2025'
    LEFT JOIN section s ON s.list = n.list AND k.naf[:2] BETWEEN s.first AND s.last
    LEFT JOIN legal_form f ON f.form = k.forme_juridique[:2];
CREATE VIEW degrees AS
  SELECT l.*, zone.department IS NOT NULL AND zone.kind IS NULL AS in_several_zones,
    CASE WHEN NOT hidden AND given_longitude IS NOT NULL THEN [given_longitude::DOUBLE, given_latitude::DOUBLE] WHEN hidden OR NOT regexp_full_match(open_x, '[-0-9.]+') OR NOT regexp_full_match(open_y, '[-0-9.]+') THEN NULL
      WHEN zone.kind = 'utm' THEN utm(try_cast(open_x AS DOUBLE), try_cast(open_y AS DOUBLE), zone.meridian, zone.south)
      WHEN zone.kind = 'caledonia' THEN cone(try_cast(open_x AS DOUBLE), try_cast(open_y AS DOUBLE), -21.5, -20.66666666666667, -22.33333333333333, 166, 4e5, 3e5)
      WHEN zone.department IS NULL THEN cone(try_cast(open_x AS DOUBLE), try_cast(open_y AS DOUBLE), 46.5, 44, 49, 3, 7e5, 6.6e6) END AS lonlat
  FROM labelled l LEFT JOIN projection zone ON zone.department = l.departement;
CREATE TABLE territory(department VARCHAR, west DOUBLE, east DOUBLE, south DOUBLE, north DOUBLE);
INSERT INTO territory VALUES ('', -6, 10, 41, 52), ('2A', 8.4, 9.7, 41.2, 43.1), ('2B', 8.4, 9.7, 41.2, 43.1), ('971', -62, -60.8, 15.7, 16.7), ('972', -61.4, -60.6, 14.3, 15), ('973', -55, -51, 2, 6), ('974', 55, 56, -21.6, -20.7), ('975', -56.7, -56, 46.6, 47.3),
  ('976', 44.9, 45.4, -13.1, -12.5), ('977', -63, -62.6, 17.7, 18.1), ('978', -63.3, -62.9, 17.9, 18.3), ('986', -178.4, -175.9, -14.6, -13), ('988', 158, 172, -23, -17);
CREATE VIEW located AS
  SELECT d.* EXCLUDE (lonlat),
    CASE WHEN hidden THEN NULL WHEN given_longitude IS NOT NULL AND NOT getvariable('deep') THEN given_longitude::DOUBLE WHEN inside THEN round(lonlat[1], 5) END AS longitude,
    CASE WHEN hidden THEN NULL WHEN given_longitude IS NOT NULL AND NOT getvariable('deep') THEN given_latitude::DOUBLE WHEN inside THEN round(lonlat[2], 5) END AS latitude,
    coalesce(NOT inside, false) AS hors_territoire
  FROM (SELECT g.*, in_several_zones OR (lonlat[1] BETWEEN t.west AND t.east AND lonlat[2] BETWEEN t.south AND t.north) AS inside
    FROM degrees g LEFT JOIN territory t ON t.department = CASE WHEN g.departement IN (SELECT department FROM territory) THEN g.departement ELSE '' END) d;
CREATE MACRO has(t) AS t IS NOT NULL AND t <> '[ND]';
CREATE VIEW shares AS
  SELECT *, CASE WHEN (has(adresse) OR has(complement_adresse)) AND has(commune) AND (pays IS NOT NULL OR has(code_postal)) THEN 0.7 ELSE 0 END
      + CASE WHEN withheld OR hidden OR has(raison_sociale) OR has(enseigne) THEN 0.3 ELSE 0 END AS contactability,
    CASE WHEN repetition > 1 THEN 0 ELSE 1 END AS unicity,
    ((withheld OR hidden OR has(raison_sociale))::INT + (withheld OR hidden OR has(enseigne))::INT + (hidden OR has(adresse))::INT + (hidden OR has(code_postal))::INT + has(code_commune)::INT + has(naf)::INT
      + (date_creation IS NOT NULL)::INT + (has(tranche_effectifs) AND tranche_effectifs <> 'NN')::INT + has(forme_juridique)::INT + (siege IS NOT NULL)::INT) / 10 AS completeness,
    CASE WHEN date_traitement IS NULL THEN 0 ELSE greatest(0, least(1, (6 * 365 - date_diff('day', date_traitement, getvariable('stock'))) / (5 * 365))) END AS freshness
  FROM located;
CREATE VIEW weighed AS
  SELECT *, 100 * (contactability * getvariable('contactability') + unicity * getvariable('unicity') + completeness * getvariable('completeness') + freshness * getvariable('freshness'))
    / (getvariable('contactability') + getvariable('unicity') + getvariable('completeness') + getvariable('freshness')) AS score FROM shares;

-- What changed since an earlier dataset of the job, which is in `before`: the first that applies.
CREATE TABLE before AS SELECT siret, adresse, code_commune, code_postal, naf, etat, statut_diffusion FROM weighed LIMIT 0;
CREATE MACRO door(t) AS regexp_replace(regexp_replace(spaced(t), '\bst\b', 'saint', 'g'), '\bste\b', 'sainte', 'g');
CREATE MACRO town(c) AS CASE WHEN c BETWEEN '75101' AND '75120' THEN '75056' WHEN c BETWEEN '69381' AND '69389' THEN '69123' WHEN c BETWEEN '13201' AND '13216' THEN '13055' ELSE c END;
CREATE MACRO of_2025(c) AS c[-1:] IN ('Y', 'G', 'H', 'J', 'K', 'L');
CREATE VIEW scored AS
  SELECT w.*, CASE WHEN b.siret IS NULL THEN 'nouveau' WHEN w.etat = 'F' AND b.etat = 'A' THEN 'ferme' WHEN w.etat = 'A' AND b.etat = 'F' THEN 'rouvert'
      WHEN w.statut_diffusion = 'O' AND b.statut_diffusion = 'O' AND coalesce(w.adresse, '') <> '[ND]' AND coalesce(b.adresse, '') <> '[ND]' AND (coalesce(door(w.adresse) <> door(b.adresse), false)
        OR w.code_commune <> b.code_commune AND NOT coalesce(door(w.adresse) = door(b.adresse) AND (w.code_postal = b.code_postal
          OR town(w.code_commune) = town(b.code_commune) AND (town(w.code_commune) = w.code_commune OR town(b.code_commune) = b.code_commune)), false)) THEN 'demenage'
      WHEN w.naf <> b.naf AND of_2025(w.naf) = of_2025(b.naf) THEN 'naf_change' ELSE 'inchange' END AS evolution
  FROM weighed w LEFT JOIN before b ON b.siret = w.siret;
CREATE TEMP TABLE dataset AS FROM scored LIMIT 0;

-- Openings and closings: periods at whose beginning the state changed; without the file, creations and the last day of closed ones.
CREATE TABLE period(siret VARCHAR, "dateFin" VARCHAR, "dateDebut" VARCHAR, state VARCHAR, changed VARCHAR);
CREATE VIEW event AS
  WITH known AS (SELECT DISTINCT number(siret, 14) AS place_key, day("dateFin") AS last, day("dateDebut") AS first, state(state) AS state, truth(changed) AS changed FROM period),
  ordered AS (SELECT *, lag(state) OVER w AS previous, row_number() OVER w AS nth FROM known WINDOW w AS (PARTITION BY place_key ORDER BY last NULLS LAST, first NULLS LAST))
  SELECT o.state, o.first AS day FROM ordered o SEMI JOIN dataset USING (place_key) WHERE getvariable('has_history') AND (nth = 1 OR coalesce(changed, o.state IS DISTINCT FROM previous))
  UNION ALL SELECT 'A', date_creation FROM dataset WHERE NOT getvariable('has_history')
  UNION ALL SELECT 'F', date_debut FROM dataset WHERE etat = 'F' AND NOT getvariable('has_history');
CREATE VIEW event_year AS SELECT state, year(nullif(day, DATE '1900-01-01')) AS year, year(nullif(day, DATE '1900-01-01')) NOT BETWEEN 1800 AND year(getvariable('stock')) + 1 AS absurd FROM event;

-- Issues: who has one, and who cannot have it because the job's policy leaves the value out.
CREATE MACRO lacks(t) AS NOT has(t);
CREATE VIEW issue AS
  SELECT u.key, count(*) FILTER (u.rows) AS count, count(*) FILTER (NOT u.excused) AS rows FROM (
    SELECT unnest([
      {key: 'siret_invalid', rows: NOT siret_valide, excused: false}, {key: 'siren_invalid', rows: NOT siren_valide, excused: false},
      {key: 'siren_not_of_siret', rows: siret[:9] <> siren, excused: false},
      {key: 'name_missing', rows: lacks(raison_sociale) AND NOT (withheld OR hidden), excused: lacks(raison_sociale) AND (withheld OR hidden)},
      {key: 'sign_missing', rows: lacks(enseigne) AND NOT (withheld OR hidden), excused: lacks(enseigne) AND (withheld OR hidden)},
      {key: 'address_missing', rows: lacks(adresse) AND NOT hidden, excused: lacks(adresse) AND hidden},
      {key: 'postal_code_missing', rows: lacks(code_postal) AND NOT hidden AND pays IS NULL, excused: lacks(code_postal) AND hidden},
      {key: 'commune_missing', rows: code_commune IS NULL AND pays IS NULL, excused: false},
      {key: 'postal_code_malformed', rows: has(code_postal) AND NOT regexp_full_match(code_postal, '[0-9]{5}'), excused: false},
      {key: 'abroad', rows: pays IS NOT NULL, excused: false},
      {key: 'department_of_post_differs', rows: regexp_full_match(code_postal, '[0-9]{5}') AND code_postal[:2] <> '20' AND code_postal[:2] <> departement[:2], excused: false},
      {key: 'creation_unknown', rows: date_creation IS NULL, excused: false}, {key: 'creation_absurd', rows: year(date_creation) < 1800, excused: false},
      {key: 'creation_in_future', rows: date_creation > getvariable('stock'), excused: false},
      {key: 'period_before_creation', rows: date_debut < date_creation, excused: false},
      {key: 'activity_missing', rows: naf IS NULL, excused: false},
      {key: 'activity_not_in_list', rows: naf NOT IN (SELECT code FROM naf), excused: false},
      {key: 'activity_of_older_list', rows: nomenclature IN ('NAFRev1', 'NAF1993', 'NAP'), excused: false},
      {key: 'headcount_unknown', rows: coalesce(tranche_effectifs, 'NN') = 'NN', excused: false},
      {key: 'partial_diffusion', rows: hidden, excused: false}, {key: 'closed', rows: etat = 'F', excused: false},
      {key: 'outside_territory', rows: hors_territoire, excused: false}]) AS u FROM dataset) GROUP BY u.key;
