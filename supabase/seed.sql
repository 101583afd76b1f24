-- Demonstration data, applied on a fresh local database.
select 1;
