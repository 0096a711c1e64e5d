BEGIN TRANSACTION;
CREATE TABLE asset_names (
	kind VARCHAR(16) NOT NULL, 
	name TEXT NOT NULL, 
	last_number BIGINT NOT NULL, 
	CONSTRAINT pk_asset_names PRIMARY KEY (kind, name)
)
 WITHOUT ROWID

;
INSERT INTO "asset_names" VALUES('model','digits',1);
CREATE TABLE asset_versions (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	kind VARCHAR(16) NOT NULL, 
	name TEXT NOT NULL, 
	version TEXT NOT NULL, 
	tree VARCHAR(64), 
	job_name TEXT, 
	created_at BIGINT NOT NULL, 
	is_archived BOOLEAN NOT NULL, 
	is_deleted BOOLEAN NOT NULL, 
	document TEXT NOT NULL, 
	CONSTRAINT fk_asset_versions_kind_name FOREIGN KEY(kind, name) REFERENCES asset_names (kind, name), 
	CONSTRAINT uq_asset_versions_kind_name_version UNIQUE (kind, name, version)
);
INSERT INTO "asset_versions" VALUES(1,'model','digits','1','0d3296efd05151d49a646ae213b1f46370b90da50cd7ee7c9cb6feeafa2a5379','calm_heron_1',1700000000000,0,0,'{"kind":"model","name":"digits","version":"1","tags":{},"properties":{},"tree":"0d3296efd05151d49a646ae213b1f46370b90da50cd7ee7c9cb6feeafa2a5379","size":9,"job_name":"calm_heron_1","created_at":1700000000000,"created_by":"ada","is_archived":false}');
CREATE TABLE attempts (
	attempt_id TEXT NOT NULL, 
	job_name TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	token_hash TEXT NOT NULL, 
	node TEXT NOT NULL, 
	pid BIGINT NOT NULL, 
	process_start BIGINT NOT NULL, 
	boot_id TEXT NOT NULL, 
	spool_offset BIGINT NOT NULL, 
	log_offset BIGINT NOT NULL, 
	exit_code INTEGER, 
	reason TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	ended_at BIGINT, 
	CONSTRAINT pk_attempts PRIMARY KEY (attempt_id), 
	CONSTRAINT uq_attempts_job_name_number UNIQUE (job_name, number), 
	CONSTRAINT fk_attempts_job_name FOREIGN KEY(job_name) REFERENCES jobs (name)
);
INSERT INTO "attempts" VALUES('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','calm_heron_1',1,'succeeded','0000000000000000000000000000000000000000000000000000000000000000','local',0,0,'',0,0,0,'',1700000000000,1700000000005);
CREATE TABLE counters (
	name TEXT NOT NULL, 
	value BIGINT NOT NULL, 
	CONSTRAINT pk_counters PRIMARY KEY (name)
)
 WITHOUT ROWID

;
INSERT INTO "counters" VALUES('events',2);
CREATE TABLE deployments (
	endpoint_name TEXT NOT NULL, 
	name TEXT NOT NULL, 
	revision BIGINT NOT NULL, 
	document TEXT NOT NULL, 
	CONSTRAINT pk_deployments PRIMARY KEY (endpoint_name, name), 
	CONSTRAINT fk_deployments_endpoint_name FOREIGN KEY(endpoint_name) REFERENCES endpoints (name)
);
CREATE TABLE endpoints (
	name TEXT NOT NULL, 
	revision BIGINT NOT NULL, 
	primary_key TEXT, 
	secondary_key TEXT, 
	document TEXT NOT NULL, 
	CONSTRAINT pk_endpoints PRIMARY KEY (name)
);
CREATE TABLE events (
	seq INTEGER NOT NULL, 
	at BIGINT NOT NULL, 
	actor TEXT NOT NULL, 
	verb TEXT NOT NULL, 
	ref TEXT NOT NULL, 
	detail TEXT NOT NULL, 
	previous_hash VARCHAR(64) NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (seq)
);
INSERT INTO "events" VALUES(1,1700000000000,'ada','submit','job:calm_heron_1','{"n":1}','0000000000000000000000000000000000000000000000000000000000000000','de602cb541180e441899e01ec741d8def3ea4cfc33d2d6b58cc24bdfac40bc26');
INSERT INTO "events" VALUES(2,1700000000000,'ada','register','job:calm_heron_1','{"n":1}','de602cb541180e441899e01ec741d8def3ea4cfc33d2d6b58cc24bdfac40bc26','0e36fb0b443b3af7daf776844dc125904577fab922cdf64510ed3ecfd8ea5e62');
CREATE TABLE experiment_tags (
	experiment INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_experiment_tags PRIMARY KEY (experiment, "key"), 
	CONSTRAINT fk_experiment_tags_experiment FOREIGN KEY(experiment) REFERENCES experiments (id)
)
 WITHOUT ROWID

;
CREATE TABLE experiments (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name TEXT NOT NULL, 
	artifact_location TEXT NOT NULL, 
	lifecycle_stage VARCHAR(16) NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	CONSTRAINT uq_experiments_name UNIQUE (name)
);
INSERT INTO "experiments" VALUES(0,'Default','mlflow-artifacts:/0','active',1700000000000,1700000000000);
CREATE TABLE jobs (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name TEXT NOT NULL, 
	type VARCHAR(32) NOT NULL, 
	display_name TEXT NOT NULL, 
	experiment_name TEXT NOT NULL, 
	status VARCHAR(32) NOT NULL, 
	created_at BIGINT NOT NULL, 
	created_by TEXT NOT NULL, 
	started_at BIGINT, 
	ended_at BIGINT, 
	attempt INTEGER NOT NULL, 
	compute TEXT NOT NULL, 
	spec TEXT NOT NULL, 
	state TEXT NOT NULL, 
	CONSTRAINT uq_jobs_name UNIQUE (name), 
	CONSTRAINT fk_jobs_name FOREIGN KEY(name) REFERENCES runs (run_id)
);
INSERT INTO "jobs" VALUES(1,'calm_heron_1','command','calm heron','Default','Completed',1700000000000,'ada',1700000000000,1700000000005,0,'local','{"type":"command","command":"python train.py","inputs":{"learning_rate":0.001},"outputs":{},"environment_variables":{},"tags":{},"properties":{}}','{"tags":{},"outputs":{},"warnings":[]}');
CREATE TABLE latest (
	run INTEGER NOT NULL, 
	"key" INTEGER NOT NULL, 
	step BIGINT NOT NULL, 
	timestamp BIGINT NOT NULL, 
	value DOUBLE NOT NULL, 
	is_nan BOOLEAN NOT NULL, 
	CONSTRAINT pk_latest PRIMARY KEY (run, "key"), 
	CONSTRAINT fk_latest_run FOREIGN KEY(run) REFERENCES runs (id), 
	CONSTRAINT fk_latest_key FOREIGN KEY("key") REFERENCES metric_keys (id)
)
 WITHOUT ROWID

;
INSERT INTO "latest" VALUES(1,1,2,1700000000002,0.97,0);
CREATE TABLE metric_keys (
	id INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	CONSTRAINT pk_metric_keys PRIMARY KEY (id), 
	CONSTRAINT uq_metric_keys_key UNIQUE ("key")
);
INSERT INTO "metric_keys" VALUES(1,'accuracy');
CREATE TABLE params (
	run INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_params PRIMARY KEY (run, "key"), 
	CONSTRAINT fk_params_run FOREIGN KEY(run) REFERENCES runs (id)
)
 WITHOUT ROWID

;
INSERT INTO "params" VALUES(1,'learning_rate','0.001');
CREATE TABLE points (
	run INTEGER NOT NULL, 
	seq BIGINT NOT NULL, 
	"key" INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	step BIGINT NOT NULL, 
	timestamp BIGINT NOT NULL, 
	value DOUBLE NOT NULL, 
	is_nan BOOLEAN NOT NULL, 
	CONSTRAINT pk_points PRIMARY KEY (run, seq), 
	CONSTRAINT fk_points_run FOREIGN KEY(run) REFERENCES runs (id), 
	CONSTRAINT fk_points_key FOREIGN KEY("key") REFERENCES metric_keys (id)
)
 WITHOUT ROWID

;
INSERT INTO "points" VALUES(1,1,1,0,0,1700000000000,0.0,1);
INSERT INTO "points" VALUES(1,2,1,0,1,1700000000001,0.95,0);
INSERT INTO "points" VALUES(1,3,1,0,2,1700000000002,0.97,0);
CREATE TABLE replies (
	scope TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	body TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_replies PRIMARY KEY (scope, "key")
)
 WITHOUT ROWID

;
CREATE TABLE run_artifacts (
	run INTEGER NOT NULL, 
	path TEXT NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	size BIGINT NOT NULL, 
	executable BOOLEAN NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_run_artifacts PRIMARY KEY (run, path), 
	CONSTRAINT fk_run_artifacts_run FOREIGN KEY(run) REFERENCES runs (id)
)
 WITHOUT ROWID

;
INSERT INTO "run_artifacts" VALUES(1,'outputs/model.onnx','abababababababababababababababababababababababababababababababab',9,0,1700000000000);
CREATE TABLE runs (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	run_id TEXT NOT NULL, 
	experiment INTEGER NOT NULL, 
	run_name TEXT NOT NULL, 
	user_id TEXT NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	lifecycle_stage VARCHAR(16) NOT NULL, 
	start_time BIGINT NOT NULL, 
	end_time BIGINT, 
	deleted_at BIGINT, 
	artifact_uri TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	CONSTRAINT uq_runs_run_id UNIQUE (run_id), 
	CONSTRAINT fk_runs_experiment FOREIGN KEY(experiment) REFERENCES experiments (id)
);
INSERT INTO "runs" VALUES(1,'calm_heron_1',0,'calm heron','ada','FINISHED','active',1700000000000,NULL,NULL,'mlflow-artifacts:/0/calm_heron_1/artifacts',1);
CREATE TABLE schema_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT schema_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "schema_version" VALUES('0001');
CREATE TABLE tags (
	run INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_tags PRIMARY KEY (run, "key"), 
	CONSTRAINT fk_tags_run FOREIGN KEY(run) REFERENCES runs (id)
)
 WITHOUT ROWID

;
INSERT INTO "tags" VALUES(1,'mlflow.runName','calm heron');
CREATE TABLE tokens (
	token_hash VARCHAR(64) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	actor TEXT NOT NULL, 
	role VARCHAR(16) NOT NULL, 
	experiment_id TEXT, 
	attempt_id TEXT, 
	created_at BIGINT NOT NULL, 
	expires_at BIGINT, 
	CONSTRAINT pk_tokens PRIMARY KEY (token_hash)
)
 WITHOUT ROWID

;
CREATE TABLE tree_entries (
	tree INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	path TEXT NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	size BIGINT NOT NULL, 
	executable BOOLEAN NOT NULL, 
	CONSTRAINT pk_tree_entries PRIMARY KEY (tree, position), 
	CONSTRAINT fk_tree_entries_tree FOREIGN KEY(tree) REFERENCES trees (id)
)
 WITHOUT ROWID

;
INSERT INTO "tree_entries" VALUES(1,0,'model.onnx','abababababababababababababababababababababababababababababababab',9,0);
CREATE TABLE trees (
	id INTEGER NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	is_file BOOLEAN NOT NULL, 
	CONSTRAINT pk_trees PRIMARY KEY (id), 
	CONSTRAINT uq_trees_digest UNIQUE (digest)
);
INSERT INTO "trees" VALUES(1,'0d3296efd05151d49a646ae213b1f46370b90da50cd7ee7c9cb6feeafa2a5379',0);
CREATE INDEX ix_tokens_attempt_id ON tokens (attempt_id);
CREATE INDEX ix_replies_created_at ON replies (created_at);
CREATE INDEX ix_runs_newest ON runs (experiment, lifecycle_stage, start_time DESC, run_id);
CREATE INDEX ix_asset_versions_newest ON asset_versions (kind, name, id);
CREATE INDEX ix_asset_versions_job ON asset_versions (job_name);
CREATE UNIQUE INDEX ix_points_history ON points (run, "key", timestamp, step, value, is_nan, attempt);
CREATE INDEX ix_jobs_experiment ON jobs (experiment_name, id);
CREATE INDEX ix_jobs_status ON jobs (status);
CREATE INDEX ix_attempts_state ON attempts (state);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('experiments',0);
INSERT INTO "sqlite_sequence" VALUES('runs',1);
INSERT INTO "sqlite_sequence" VALUES('jobs',1);
INSERT INTO "sqlite_sequence" VALUES('asset_versions',1);
COMMIT;
