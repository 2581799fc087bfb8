-- A coordinator's file of schema version 1, as the first release writes it, with
-- one row of each kind.  Origin: this project; licence: the project's.
PRAGMA application_id = 1919775331;
CREATE TABLE schema_version ( version INTEGER NOT NULL) STRICT;
INSERT INTO schema_version VALUES (1);
CREATE TABLE counters ( id INTEGER PRIMARY KEY CHECK (id = 0), next_user INTEGER NOT NULL, next_key INTEGER NOT NULL, next_api_key INTEGER NOT NULL, next_node INTEGER NOT NULL, last_v4 INTEGER NOT NULL, last_v6 INTEGER NOT NULL) STRICT;
CREATE TABLE users ( id INTEGER PRIMARY KEY, name TEXT NOT NULL, display TEXT NOT NULL, email TEXT NOT NULL, picture TEXT NOT NULL, created INTEGER NOT NULL) STRICT;
CREATE TABLE pre_auth_keys ( id INTEGER PRIMARY KEY, user INTEGER REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED, prefix TEXT NOT NULL, hash BLOB NOT NULL CHECK (length(hash) = 32), reusable INTEGER NOT NULL, ephemeral INTEGER NOT NULL, used INTEGER NOT NULL, expiry INTEGER NOT NULL, created INTEGER NOT NULL, tags TEXT NOT NULL) STRICT;
CREATE INDEX pre_auth_keys_user ON pre_auth_keys (user);
CREATE TABLE api_keys ( id INTEGER PRIMARY KEY, prefix TEXT NOT NULL, hash BLOB NOT NULL CHECK (length(hash) = 32), expiry INTEGER NOT NULL, created INTEGER NOT NULL, last_seen INTEGER NOT NULL) STRICT;
CREATE TABLE nodes ( id INTEGER PRIMARY KEY, user INTEGER REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED, pre_auth_key INTEGER NOT NULL, machine_key BLOB NOT NULL CHECK (length(machine_key) = 32), node_key BLOB NOT NULL CHECK (length(node_key) = 32), disco_key BLOB NOT NULL CHECK (length(disco_key) = 32), hostname TEXT NOT NULL, os TEXT NOT NULL, given_name TEXT NOT NULL, ipv4 TEXT NOT NULL, ipv6 TEXT NOT NULL, ephemeral INTEGER NOT NULL, home_derp INTEGER NOT NULL, capability INTEGER NOT NULL, created INTEGER NOT NULL, last_seen INTEGER NOT NULL, expiry INTEGER NOT NULL, tags TEXT NOT NULL, announced TEXT NOT NULL, approved TEXT NOT NULL) STRICT;
CREATE INDEX nodes_user ON nodes (user);
CREATE TABLE policy ( id INTEGER PRIMARY KEY CHECK (id = 0), text BLOB NOT NULL, updated INTEGER NOT NULL) STRICT;
INSERT INTO counters VALUES (0,3,4,1,5,12,11);
INSERT INTO users VALUES (1,'alice','','','',1800000000000000000);
INSERT INTO users VALUES (2,'bob@example.org','','','',1800000000000000001);
INSERT INTO pre_auth_keys VALUES (1,1,'0123456789ab',x'a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1',1,0,1,0,1800000000000000002,'');
INSERT INTO pre_auth_keys VALUES (3,NULL,'cdef01234567',x'a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2',0,1,0,1900000000000000000,1800000000000000003,'tag:a tag:b');
INSERT INTO nodes VALUES (1,1,1,x'b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1',x'b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2',x'b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3','Alice''s box','linux','alice-s-box','100.64.0.10','fd7a:115c:a1e0::9',0,1,138,1800000000000000004,1800000000000000005,1900000000000000001,'','10.0.0.0/8 0.0.0.0/0 ::/0','0.0.0.0/0 ::/0');
INSERT INTO nodes VALUES (4,NULL,3,x'c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1',x'c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2',x'0000000000000000000000000000000000000000000000000000000000000000','robot','','robot','100.64.0.12','',1,0,113,1800000000000000006,1800000000000000007,0,'tag:a tag:b','','');
INSERT INTO policy VALUES (0,CAST('{"acls": []}' AS BLOB),1800000000000000008);
