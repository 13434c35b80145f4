ALTER TABLE locks ADD COLUMN told INTEGER NOT NULL DEFAULT 0 CHECK (told IN (0, 1));  -- to make room for another
