BEGIN TRANSACTION;
CREATE TABLE asset_names (
	kind VARCHAR(16) NOT NULL, 
	name TEXT NOT NULL, 
	last_number BIGINT NOT NULL, 
	CONSTRAINT pk_asset_names PRIMARY KEY (kind, name)
)
 WITHOUT ROWID

;
INSERT INTO "asset_names" VALUES('data','mnist',0);
INSERT INTO "asset_names" VALUES('environment','torch',1);
INSERT INTO "asset_names" VALUES('model','Letters',9);
INSERT INTO "asset_names" VALUES('model','digits',4);
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
INSERT INTO "asset_versions" VALUES(1,'model','digits','1','0eed0e53b54ed24ba4f1cb2e09cd9dab3918c1b26baa617d226a3e41ef92c4fa','180c29045b3038efbe69f52a9e62ca58',1700000000001,0,0,'{"kind":"model","name":"digits","version":"1","type":"custom_model","description":"the first","tags":{"quality":"poor","a":"1"},"properties":{"p":"q"},"tree":"0eed0e53b54ed24ba4f1cb2e09cd9dab3918c1b26baa617d226a3e41ef92c4fa","size":100,"job_name":"180c29045b3038efbe69f52a9e62ca58","source_path":"outputs","created_at":1700000000001,"created_by":"ada","is_archived":false}');
INSERT INTO "asset_versions" VALUES(2,'model','digits','2','0eed0e53b54ed24ba4f1cb2e09cd9dab3918c1b26baa617d226a3e41ef92c4fa','180c29045b3038efbe69f52a9e62ca58',1700000000002,1,0,'{"kind":"model","name":"digits","version":"2","type":"mlflow_model","tags":{},"properties":{},"tree":"0eed0e53b54ed24ba4f1cb2e09cd9dab3918c1b26baa617d226a3e41ef92c4fa","size":100,"job_name":"180c29045b3038efbe69f52a9e62ca58","created_at":1700000000002,"created_by":"ada","is_archived":false}');
INSERT INTO "asset_versions" VALUES(3,'model','digits','3','0eed0e53b54ed24ba4f1cb2e09cd9dab3918c1b26baa617d226a3e41ef92c4fa',NULL,1700000000003,0,0,'{"kind":"model","name":"digits","version":"3","type":"custom_model","description":"best","tags":{"quality":"good"},"properties":{},"tree":"0eed0e53b54ed24ba4f1cb2e09cd9dab3918c1b26baa617d226a3e41ef92c4fa","size":100,"created_at":1700000000003,"created_by":"ada","is_archived":false}');
INSERT INTO "asset_versions" VALUES(4,'model','digits','4',NULL,NULL,1700000000004,0,1,'{}');
INSERT INTO "asset_versions" VALUES(5,'model','Letters','9','0eed0e53b54ed24ba4f1cb2e09cd9dab3918c1b26baa617d226a3e41ef92c4fa',NULL,1700000000009,0,0,'{"kind":"model","name":"Letters","version":"9","type":"custom_model","tags":{},"properties":{},"tree":"0eed0e53b54ed24ba4f1cb2e09cd9dab3918c1b26baa617d226a3e41ef92c4fa","size":100,"created_at":1700000000009,"created_by":"ada","is_archived":false}');
INSERT INTO "asset_versions" VALUES(6,'data','mnist','2024-01','0eed0e53b54ed24ba4f1cb2e09cd9dab3918c1b26baa617d226a3e41ef92c4fa',NULL,1700000000000,0,0,'{"kind":"data","name":"mnist","version":"2024-01","type":"uri_folder","description":"pictures","tags":{"source":"lecun"},"properties":{},"tree":"0eed0e53b54ed24ba4f1cb2e09cd9dab3918c1b26baa617d226a3e41ef92c4fa","size":100,"created_at":1700000000000,"created_by":"ada","is_archived":false}');
INSERT INTO "asset_versions" VALUES(7,'environment','torch','1','0eed0e53b54ed24ba4f1cb2e09cd9dab3918c1b26baa617d226a3e41ef92c4fa',NULL,1700000000000,0,0,'{"kind":"environment","name":"torch","version":"1","tags":{},"properties":{},"tree":"0eed0e53b54ed24ba4f1cb2e09cd9dab3918c1b26baa617d226a3e41ef92c4fa","size":100,"definition":{"conda_file":{"dependencies":["python=3.11"]}},"created_at":1700000000000,"created_by":"ada","is_archived":false}');
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
INSERT INTO "attempts" VALUES('2519a589350dbc3a455a58219d91d00a','180c29045b3038efbe69f52a9e62ca58',1,'lost','5a764ba8c2ace98f70ed94fdf67e294b2cced90503bc74d8ff9738b6f0f730b3','local',0,0,'',0,0,NULL,'agent lost',0,1700000000001);
INSERT INTO "attempts" VALUES('0ee7a9555fc2fe302c23e6bf6efb35c4','180c29045b3038efbe69f52a9e62ca58',2,'starting','aac1f79a9a03ccb9ef547800131d65599f59b1b57a68e63d756fc1e7b1eae017','local',0,0,'',0,0,NULL,'',0,NULL);
CREATE TABLE counters (
	name TEXT NOT NULL, 
	value BIGINT NOT NULL, 
	CONSTRAINT pk_counters PRIMARY KEY (name)
)
 WITHOUT ROWID

;
INSERT INTO "counters" VALUES('deployment:digits/blue',1);
INSERT INTO "counters" VALUES('endpoint:digits',2);
INSERT INTO "counters" VALUES('events',4);
INSERT INTO "counters" VALUES('serving',4);
CREATE TABLE deployments (
	endpoint_name TEXT NOT NULL, 
	name TEXT NOT NULL, 
	revision BIGINT NOT NULL, 
	document TEXT NOT NULL, 
	CONSTRAINT pk_deployments PRIMARY KEY (endpoint_name, name), 
	CONSTRAINT fk_deployments_endpoint_name FOREIGN KEY(endpoint_name) REFERENCES endpoints (name)
);
INSERT INTO "deployments" VALUES('digits','blue',1,'{"name":"blue","endpoint_name":"digits","spec":{"name":"blue","endpoint_name":"digits","model":"azureml:digits:3","environment_variables":{},"instance_count":1,"request_settings":{"request_timeout_ms":5000,"max_concurrent_requests_per_instance":1,"max_queue_wait_ms":500},"tags":{},"properties":{}},"provisioning_state":"Succeeded","revision":1,"ready_revision":0,"message":"","warnings":[],"created_at":1700000000000,"updated_at":1700000000000}');
CREATE TABLE endpoints (
	name TEXT NOT NULL, 
	revision BIGINT NOT NULL, 
	primary_key TEXT, 
	secondary_key TEXT, 
	document TEXT NOT NULL, 
	CONSTRAINT pk_endpoints PRIMARY KEY (name)
);
INSERT INTO "endpoints" VALUES('digits',2,'p','s','{"name":"digits","spec":{"name":"digits","auth_mode":"key","tags":{},"properties":{},"traffic":{},"mirror_traffic":{}},"provisioning_state":"Succeeded","traffic":{"blue":100},"scoring_uri":"http://localhost/x","created_at":1700000000000,"created_by":"ada","revision":2,"warnings":[]}');
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
INSERT INTO "events" VALUES(1,1700000000000,'ann','submit','job:180c29045b3038efbe69f52a9e62ca58','{"display_name":"Train it","experiment":"digits"}','0000000000000000000000000000000000000000000000000000000000000000','d70f79d751ff2ade2762ebd25e5c012c98b8b2085653802a1bb3b160947c0389');
INSERT INTO "events" VALUES(2,1700000000000,'ada','note','x:0','{"n":0}','d70f79d751ff2ade2762ebd25e5c012c98b8b2085653802a1bb3b160947c0389','3980e1a8dfd24704053f1b76e0f43f4e8e06b4dd88073c1e86dc8513bda1c09e');
INSERT INTO "events" VALUES(3,1700000000001,'ada','note','x:1','{"n":1}','3980e1a8dfd24704053f1b76e0f43f4e8e06b4dd88073c1e86dc8513bda1c09e','cc3106fb6acb775e484b64a884bee896e41bf29754d2a1668b44e9b6c702314d');
INSERT INTO "events" VALUES(4,1700000000002,'ada','note','x:2','{"n":2}','cc3106fb6acb775e484b64a884bee896e41bf29754d2a1668b44e9b6c702314d','d71be14d4d5ff13ce0a3620469a8187cf1b7b066e322e3222c281fdb1b6ad327');
CREATE TABLE experiment_tags (
	experiment INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_experiment_tags PRIMARY KEY (experiment, "key"), 
	CONSTRAINT fk_experiment_tags_experiment FOREIGN KEY(experiment) REFERENCES experiments (id)
)
 WITHOUT ROWID

;
INSERT INTO "experiment_tags" VALUES(1,'team','vision');
CREATE TABLE experiments (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name TEXT NOT NULL, 
	artifact_location TEXT NOT NULL, 
	lifecycle_stage VARCHAR(16) NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	CONSTRAINT uq_experiments_name UNIQUE (name)
);
INSERT INTO "experiments" VALUES(0,'Default','mlflow-artifacts:/0','active',1795276910011,1795276910011);
INSERT INTO "experiments" VALUES(1,'digits','mlflow-artifacts:/1','active',1700000000000,1700000000000);
INSERT INTO "experiments" VALUES(2,'abandoned','mlflow-artifacts:/2','deleted',1700000000000,1700000000007);
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
INSERT INTO "jobs" VALUES(1,'180c29045b3038efbe69f52a9e62ca58','command','Train it','digits','Starting',1700000000000,'ann',NULL,NULL,2,'local','{"type":"command","display_name":"Train it","experiment_name":"digits","command":"true","inputs":{},"outputs":{},"environment_variables":{},"tags":{"stage":"night"},"properties":{}}','{"tags":{"stage":"night"},"outputs":{},"warnings":[]}');
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
INSERT INTO "latest" VALUES(1,1,2,1700000000002,0.5,0);
INSERT INTO "latest" VALUES(1,2,1,1700000000001,1.0,0);
INSERT INTO "latest" VALUES(2,1,2,1700000000002,0.54,0);
INSERT INTO "latest" VALUES(2,2,1,1700000000001,0.5,0);
INSERT INTO "latest" VALUES(3,1,2,1700000000002,0.58,0);
INSERT INTO "latest" VALUES(3,2,1,1700000000001,3.33333333333333314829e-01,0);
INSERT INTO "latest" VALUES(4,1,2,1700000000002,0.62,0);
INSERT INTO "latest" VALUES(4,2,1,1700000000001,0.25,0);
INSERT INTO "latest" VALUES(5,1,2,1700000000002,0.66,0);
INSERT INTO "latest" VALUES(5,2,1,1700000000001,0.2,0);
INSERT INTO "latest" VALUES(6,1,2,1700000000002,0.7,0);
INSERT INTO "latest" VALUES(6,2,1,1700000000001,9e999,0);
INSERT INTO "latest" VALUES(7,1,2,1700000000002,0.74,0);
INSERT INTO "latest" VALUES(7,2,1,1700000000001,1.42857142857142849212e-01,0);
INSERT INTO "latest" VALUES(8,1,2,1700000000002,0.0,1);
INSERT INTO "latest" VALUES(8,2,1,1700000000001,0.125,0);
INSERT INTO "latest" VALUES(9,1,2,1700000000002,8.20000000000000062172e-01,0);
INSERT INTO "latest" VALUES(9,2,1,1700000000001,1.11111111111111104943e-01,0);
INSERT INTO "latest" VALUES(10,1,7,1700000000009,0.25,0);
INSERT INTO "latest" VALUES(11,1,2,1700000000002,0.9,0);
INSERT INTO "latest" VALUES(11,2,1,1700000000001,9.09090909090909116141e-02,0);
INSERT INTO "latest" VALUES(12,1,2,1700000000002,0.94,0);
INSERT INTO "latest" VALUES(12,2,1,1700000000001,8.33333333333333287074e-02,0);
INSERT INTO "latest" VALUES(14,2,3,1700000000003,0.125,0);
CREATE TABLE metric_keys (
	id INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	CONSTRAINT pk_metric_keys PRIMARY KEY (id), 
	CONSTRAINT uq_metric_keys_key UNIQUE ("key")
);
INSERT INTO "metric_keys" VALUES(1,'accuracy');
INSERT INTO "metric_keys" VALUES(2,'loss');
CREATE TABLE params (
	run INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_params PRIMARY KEY (run, "key"), 
	CONSTRAINT fk_params_run FOREIGN KEY(run) REFERENCES runs (id)
)
 WITHOUT ROWID

;
INSERT INTO "params" VALUES(1,'depth','0');
INSERT INTO "params" VALUES(1,'lr','1.0');
INSERT INTO "params" VALUES(1,'Ünï','grün');
INSERT INTO "params" VALUES(2,'depth','1');
INSERT INTO "params" VALUES(2,'lr','0.1');
INSERT INTO "params" VALUES(2,'Ünï','grün');
INSERT INTO "params" VALUES(3,'depth','2');
INSERT INTO "params" VALUES(3,'lr','0.01');
INSERT INTO "params" VALUES(3,'Ünï','grün');
INSERT INTO "params" VALUES(4,'depth','3');
INSERT INTO "params" VALUES(4,'lr','0.001');
INSERT INTO "params" VALUES(4,'Ünï','grün');
INSERT INTO "params" VALUES(5,'depth','0');
INSERT INTO "params" VALUES(5,'lr','0.0001');
INSERT INTO "params" VALUES(5,'Ünï','grün');
INSERT INTO "params" VALUES(6,'depth','1');
INSERT INTO "params" VALUES(6,'lr','1e-05');
INSERT INTO "params" VALUES(6,'Ünï','grün');
INSERT INTO "params" VALUES(7,'depth','2');
INSERT INTO "params" VALUES(7,'lr','1e-06');
INSERT INTO "params" VALUES(7,'Ünï','grün');
INSERT INTO "params" VALUES(8,'depth','3');
INSERT INTO "params" VALUES(8,'lr','1e-07');
INSERT INTO "params" VALUES(8,'Ünï','grün');
INSERT INTO "params" VALUES(9,'depth','0');
INSERT INTO "params" VALUES(9,'lr','1e-08');
INSERT INTO "params" VALUES(9,'Ünï','grün');
INSERT INTO "params" VALUES(10,'depth','1');
INSERT INTO "params" VALUES(10,'lr','1e-09');
INSERT INTO "params" VALUES(10,'Ünï','grün');
INSERT INTO "params" VALUES(11,'depth','2');
INSERT INTO "params" VALUES(11,'lr','1e-10');
INSERT INTO "params" VALUES(11,'Ünï','grün');
INSERT INTO "params" VALUES(12,'depth','3');
INSERT INTO "params" VALUES(12,'lr','1e-11');
INSERT INTO "params" VALUES(12,'Ünï','grün');
INSERT INTO "params" VALUES(14,'lr','0.1');
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
INSERT INTO "points" VALUES(1,1,1,0,0,1700000000000,0.5,0);
INSERT INTO "points" VALUES(1,2,1,0,1,1700000000001,0.5,0);
INSERT INTO "points" VALUES(1,3,1,0,2,1700000000002,0.5,0);
INSERT INTO "points" VALUES(1,4,2,0,0,1700000000000,1.0,0);
INSERT INTO "points" VALUES(1,5,2,0,1,1700000000001,1.0,0);
INSERT INTO "points" VALUES(2,1,1,0,0,1700000000000,0.54,0);
INSERT INTO "points" VALUES(2,2,1,0,1,1700000000001,0.54,0);
INSERT INTO "points" VALUES(2,3,1,0,2,1700000000002,0.54,0);
INSERT INTO "points" VALUES(2,4,2,0,0,1700000000000,0.5,0);
INSERT INTO "points" VALUES(2,5,2,0,1,1700000000001,0.5,0);
INSERT INTO "points" VALUES(3,1,1,0,0,1700000000000,0.58,0);
INSERT INTO "points" VALUES(3,2,1,0,1,1700000000001,0.58,0);
INSERT INTO "points" VALUES(3,3,1,0,2,1700000000002,0.58,0);
INSERT INTO "points" VALUES(3,4,2,0,0,1700000000000,3.33333333333333314829e-01,0);
INSERT INTO "points" VALUES(3,5,2,0,1,1700000000001,3.33333333333333314829e-01,0);
INSERT INTO "points" VALUES(4,1,1,0,0,1700000000000,0.62,0);
INSERT INTO "points" VALUES(4,2,1,0,1,1700000000001,0.62,0);
INSERT INTO "points" VALUES(4,3,1,0,2,1700000000002,0.62,0);
INSERT INTO "points" VALUES(4,4,2,0,0,1700000000000,0.25,0);
INSERT INTO "points" VALUES(4,5,2,0,1,1700000000001,0.25,0);
INSERT INTO "points" VALUES(5,1,1,0,0,1700000000000,0.66,0);
INSERT INTO "points" VALUES(5,2,1,0,1,1700000000001,0.66,0);
INSERT INTO "points" VALUES(5,3,1,0,2,1700000000002,0.66,0);
INSERT INTO "points" VALUES(5,4,2,0,0,1700000000000,0.2,0);
INSERT INTO "points" VALUES(5,5,2,0,1,1700000000001,0.2,0);
INSERT INTO "points" VALUES(6,1,1,0,0,1700000000000,0.7,0);
INSERT INTO "points" VALUES(6,2,1,0,1,1700000000001,0.7,0);
INSERT INTO "points" VALUES(6,3,1,0,2,1700000000002,0.7,0);
INSERT INTO "points" VALUES(6,4,2,0,0,1700000000000,9e999,0);
INSERT INTO "points" VALUES(6,5,2,0,1,1700000000001,9e999,0);
INSERT INTO "points" VALUES(7,1,1,0,0,1700000000000,0.74,0);
INSERT INTO "points" VALUES(7,2,1,0,1,1700000000001,0.74,0);
INSERT INTO "points" VALUES(7,3,1,0,2,1700000000002,0.74,0);
INSERT INTO "points" VALUES(7,4,2,0,0,1700000000000,1.42857142857142849212e-01,0);
INSERT INTO "points" VALUES(7,5,2,0,1,1700000000001,1.42857142857142849212e-01,0);
INSERT INTO "points" VALUES(8,1,1,0,0,1700000000000,0.0,1);
INSERT INTO "points" VALUES(8,2,1,0,1,1700000000001,0.0,1);
INSERT INTO "points" VALUES(8,3,1,0,2,1700000000002,0.0,1);
INSERT INTO "points" VALUES(8,4,2,0,0,1700000000000,0.125,0);
INSERT INTO "points" VALUES(8,5,2,0,1,1700000000001,0.125,0);
INSERT INTO "points" VALUES(9,1,1,0,0,1700000000000,8.20000000000000062172e-01,0);
INSERT INTO "points" VALUES(9,2,1,0,1,1700000000001,8.20000000000000062172e-01,0);
INSERT INTO "points" VALUES(9,3,1,0,2,1700000000002,8.20000000000000062172e-01,0);
INSERT INTO "points" VALUES(9,4,2,0,0,1700000000000,1.11111111111111104943e-01,0);
INSERT INTO "points" VALUES(9,5,2,0,1,1700000000001,1.11111111111111104943e-01,0);
INSERT INTO "points" VALUES(10,1,1,0,-3,1700000000000,-1.5,0);
INSERT INTO "points" VALUES(10,3,1,0,7,1700000000009,0.0,1);
INSERT INTO "points" VALUES(10,2,1,0,7,1700000000009,0.25,0);
INSERT INTO "points" VALUES(11,1,1,0,0,1700000000000,0.9,0);
INSERT INTO "points" VALUES(11,2,1,0,1,1700000000001,0.9,0);
INSERT INTO "points" VALUES(11,3,1,0,2,1700000000002,0.9,0);
INSERT INTO "points" VALUES(11,4,2,0,0,1700000000000,9.09090909090909116141e-02,0);
INSERT INTO "points" VALUES(11,5,2,0,1,1700000000001,9.09090909090909116141e-02,0);
INSERT INTO "points" VALUES(12,1,1,0,0,1700000000000,0.94,0);
INSERT INTO "points" VALUES(12,2,1,0,1,1700000000001,0.94,0);
INSERT INTO "points" VALUES(12,3,1,0,2,1700000000002,0.94,0);
INSERT INTO "points" VALUES(12,4,2,0,0,1700000000000,8.33333333333333287074e-02,0);
INSERT INTO "points" VALUES(12,5,2,0,1,1700000000001,8.33333333333333287074e-02,0);
INSERT INTO "points" VALUES(14,6,2,2,0,1700000000000,0.5,0);
INSERT INTO "points" VALUES(14,1,2,1,0,1700000000000,9.0,0);
INSERT INTO "points" VALUES(14,2,2,1,1,1700000000000,9.0,0);
INSERT INTO "points" VALUES(14,3,2,1,2,1700000000000,9.0,0);
INSERT INTO "points" VALUES(14,4,2,1,3,1700000000000,9.0,0);
INSERT INTO "points" VALUES(14,5,2,1,4,1700000000000,9.0,0);
INSERT INTO "points" VALUES(14,7,2,2,1,1700000000001,0.25,0);
INSERT INTO "points" VALUES(14,8,2,2,2,1700000000002,1.66666666666666657414e-01,0);
INSERT INTO "points" VALUES(14,9,2,2,3,1700000000003,0.125,0);
CREATE TABLE replies (
	scope TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	body TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_replies PRIMARY KEY (scope, "key")
)
 WITHOUT ROWID

;
INSERT INTO "replies" VALUES('jobs','key','{}',1700000000000);
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
INSERT INTO "run_artifacts" VALUES(14,'outputs/MLmodel','abababababababababababababababababababababababababababababababab',10,0,1700000000000);
INSERT INTO "run_artifacts" VALUES(14,'outputs/model.onnx','cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd',90,0,1700000000000);
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
INSERT INTO "runs" VALUES(1,'sweep_00',1,'sweep_00','ada','FINISHED','active',1700000000000,NULL,NULL,'mlflow-artifacts:/1/sweep_00/artifacts',0);
INSERT INTO "runs" VALUES(2,'sweep_01',1,'sweep_01','ada','FINISHED','active',1700000001000,NULL,NULL,'mlflow-artifacts:/1/sweep_01/artifacts',0);
INSERT INTO "runs" VALUES(3,'sweep_02',1,'sweep_02','ada','FINISHED','active',1700000002000,NULL,NULL,'mlflow-artifacts:/1/sweep_02/artifacts',0);
INSERT INTO "runs" VALUES(4,'sweep_03',1,'sweep_03','ada','FINISHED','active',1700000003000,NULL,NULL,'mlflow-artifacts:/1/sweep_03/artifacts',0);
INSERT INTO "runs" VALUES(5,'sweep_04',1,'sweep_04','ada','FINISHED','active',1700000004000,NULL,NULL,'mlflow-artifacts:/1/sweep_04/artifacts',0);
INSERT INTO "runs" VALUES(6,'sweep_05',1,'sweep_05','ada','FINISHED','active',1700000005000,NULL,NULL,'mlflow-artifacts:/1/sweep_05/artifacts',0);
INSERT INTO "runs" VALUES(7,'sweep_06',1,'sweep_06','ada','FINISHED','active',1700000006000,NULL,NULL,'mlflow-artifacts:/1/sweep_06/artifacts',0);
INSERT INTO "runs" VALUES(8,'sweep_07',1,'sweep_07','ada','FINISHED','active',1700000007000,NULL,NULL,'mlflow-artifacts:/1/sweep_07/artifacts',0);
INSERT INTO "runs" VALUES(9,'sweep_08',1,'sweep_08','ada','FINISHED','active',1700000008000,NULL,NULL,'mlflow-artifacts:/1/sweep_08/artifacts',0);
INSERT INTO "runs" VALUES(10,'sweep_09',1,'sweep_09','ada','FINISHED','active',1700000009000,NULL,NULL,'mlflow-artifacts:/1/sweep_09/artifacts',0);
INSERT INTO "runs" VALUES(11,'sweep_10',1,'sweep_10','ada','FINISHED','active',1700000010000,NULL,NULL,'mlflow-artifacts:/1/sweep_10/artifacts',0);
INSERT INTO "runs" VALUES(12,'sweep_11',1,'sweep_11','ada','FINISHED','deleted',1700000011000,NULL,1700000000005,'mlflow-artifacts:/1/sweep_11/artifacts',0);
INSERT INTO "runs" VALUES(13,'lost_one',2,'lost_one','ada','FINISHED','deleted',1700000000000,NULL,1700000000007,'mlflow-artifacts:/2/lost_one/artifacts',0);
INSERT INTO "runs" VALUES(14,'180c29045b3038efbe69f52a9e62ca58',1,'Train it','ann','SCHEDULED','active',1700000000000,NULL,NULL,'mlflow-artifacts:/1/180c29045b3038efbe69f52a9e62ca58/artifacts',2);
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
INSERT INTO "tags" VALUES(1,'kind','sweep');
INSERT INTO "tags" VALUES(1,'mlflow.runName','sweep_00');
INSERT INTO "tags" VALUES(1,'note','n0');
INSERT INTO "tags" VALUES(1,'penstock.inputs','{"dataset_inputs":[{"dataset":{"name":"mnist","digest":"d1","source_type":"local","source":"{\"uri\":\"/data\"}","schema":"{\"columns\":[]}","profile":"{\"rows\":3}"},"tags":[{"key":"mlflow.data.context","value":"training"},{"key":"owner","value":"ada"}]},{"dataset":{"name":"mnist-test","digest":"d2","source_type":"local","source":"{\"uri\":\"/data\"}","schema":null,"profile":"{\"rows\":3}"},"tags":[]}]}');
INSERT INTO "tags" VALUES(2,'kind','sweep');
INSERT INTO "tags" VALUES(2,'mlflow.runName','sweep_01');
INSERT INTO "tags" VALUES(2,'note','n1');
INSERT INTO "tags" VALUES(2,'penstock.inputs','{"dataset_inputs":[{"dataset":{"name":"mnist","digest":"d1","source_type":"local","source":"{\"uri\":\"/data\"}","schema":"{\"columns\":[]}","profile":"{\"rows\":3}"},"tags":[{"key":"mlflow.data.context","value":"training"},{"key":"owner","value":"ada"}]}]}');
INSERT INTO "tags" VALUES(3,'kind','sweep');
INSERT INTO "tags" VALUES(3,'mlflow.runName','sweep_02');
INSERT INTO "tags" VALUES(3,'note','n2');
INSERT INTO "tags" VALUES(3,'penstock.inputs','{"model_inputs":[{"model_id":"m-11111111111111111111111111111111"}]}');
INSERT INTO "tags" VALUES(4,'kind','sweep');
INSERT INTO "tags" VALUES(4,'mlflow.runName','sweep_03');
INSERT INTO "tags" VALUES(4,'note','xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx');
INSERT INTO "tags" VALUES(5,'kind','sweep');
INSERT INTO "tags" VALUES(5,'mlflow.runName','sweep_04');
INSERT INTO "tags" VALUES(5,'note','n4');
INSERT INTO "tags" VALUES(6,'kind','sweep');
INSERT INTO "tags" VALUES(6,'mlflow.runName','sweep_05');
INSERT INTO "tags" VALUES(6,'note','n5');
INSERT INTO "tags" VALUES(7,'kind','sweep');
INSERT INTO "tags" VALUES(7,'mlflow.runName','sweep_06');
INSERT INTO "tags" VALUES(7,'note','n6');
INSERT INTO "tags" VALUES(8,'kind','sweep');
INSERT INTO "tags" VALUES(8,'mlflow.runName','sweep_07');
INSERT INTO "tags" VALUES(8,'note','n7');
INSERT INTO "tags" VALUES(9,'kind','sweep');
INSERT INTO "tags" VALUES(9,'mlflow.runName','sweep_08');
INSERT INTO "tags" VALUES(9,'note','n8');
INSERT INTO "tags" VALUES(10,'kind','sweep');
INSERT INTO "tags" VALUES(10,'mlflow.runName','sweep_09');
INSERT INTO "tags" VALUES(10,'note','n9');
INSERT INTO "tags" VALUES(11,'kind','sweep');
INSERT INTO "tags" VALUES(11,'mlflow.runName','sweep_10');
INSERT INTO "tags" VALUES(11,'note','n10');
INSERT INTO "tags" VALUES(12,'kind','sweep');
INSERT INTO "tags" VALUES(12,'mlflow.runName','sweep_11');
INSERT INTO "tags" VALUES(12,'note','n11');
INSERT INTO "tags" VALUES(13,'mlflow.runName','lost_one');
INSERT INTO "tags" VALUES(14,'mlflow.runName','Train it');
INSERT INTO "tags" VALUES(14,'mlflow.source.name','true');
INSERT INTO "tags" VALUES(14,'mlflow.source.type','JOB');
INSERT INTO "tags" VALUES(14,'mlflow.user','ann');
INSERT INTO "tags" VALUES(14,'stage','night');
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
INSERT INTO "tokens" VALUES('5a764ba8c2ace98f70ed94fdf67e294b2cced90503bc74d8ff9738b6f0f730b3','attempt','job:180c29045b3038efbe69f52a9e62ca58','job','1','2519a589350dbc3a455a58219d91d00a',1700000000000,NULL);
INSERT INTO "tokens" VALUES('8fd9f3b5143311021013840758a41f25264de2e42381a7fb565b17e0c025b1e7','person','grace','admin',NULL,NULL,1700000000000,NULL);
INSERT INTO "tokens" VALUES('aac1f79a9a03ccb9ef547800131d65599f59b1b57a68e63d756fc1e7b1eae017','attempt','job:180c29045b3038efbe69f52a9e62ca58','job','1','0ee7a9555fc2fe302c23e6bf6efb35c4',1700000000000,NULL);
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
INSERT INTO "tree_entries" VALUES(1,0,'MLmodel','abababababababababababababababababababababababababababababababab',10,0);
INSERT INTO "tree_entries" VALUES(1,1,'model.onnx','cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd',90,0);
CREATE TABLE trees (
	id INTEGER NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	is_file BOOLEAN NOT NULL, 
	CONSTRAINT pk_trees PRIMARY KEY (id), 
	CONSTRAINT uq_trees_digest UNIQUE (digest)
);
INSERT INTO "trees" VALUES(1,'0eed0e53b54ed24ba4f1cb2e09cd9dab3918c1b26baa617d226a3e41ef92c4fa',0);
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
INSERT INTO "sqlite_sequence" VALUES('experiments',2);
INSERT INTO "sqlite_sequence" VALUES('runs',14);
INSERT INTO "sqlite_sequence" VALUES('jobs',1);
INSERT INTO "sqlite_sequence" VALUES('asset_versions',7);
COMMIT;
