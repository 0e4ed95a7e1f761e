-- The check of 0020 on the rows that were there before: reads them without stopping anybody.
ALTER TABLE accounts VALIDATE CONSTRAINT accounts_kind_check;
