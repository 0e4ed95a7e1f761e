-- A provider may be a row of the built-in catalogue with a few values of its own: adapter and base URL may then be empty,
-- and what it says itself goes before what its profile says.

ALTER TABLE providers ADD COLUMN profile text NOT NULL DEFAULT '';

-- Profiles are filled in when config is sent, so a newer program sends other things for the same row. One row tells which
-- catalogue providers were last sent from; under another one they are sent again.
CREATE TABLE catalogue_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    digest text NOT NULL DEFAULT ''
);
INSERT INTO catalogue_state DEFAULT VALUES;
