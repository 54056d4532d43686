//! The columns of the tables of `pg_catalog`, under the names that PostgreSQL 15 has for them: name, type, and the value that
//! all rows have which say nothing else.

/// Tables with rows.
pub(super) const FILLED: [(&str, &str); 12] = [
    ("pg_namespace", "oid:int nspname:text nspowner:int nspacl:texts"),
    (
        "pg_class",
        "oid:int relname:text relnamespace:int reltype:int=0 reloftype:int=0 relowner:int relam:int relfilenode:int=0 \
         reltablespace:int=0 relpages:int=0 reltuples:real=-1 relallvisible:int=0 reltoastrelid:int=0 \
         relhasindex:bool=false relisshared:bool=false relpersistence:text=p relkind:text relnatts:int relchecks:int=0 \
         relhasrules:bool=false relhastriggers:bool=false relhassubclass:bool=false relrowsecurity:bool=false \
         relforcerowsecurity:bool=false relispopulated:bool=true relreplident:text=n relispartition:bool=false \
         relrewrite:int=0 relfrozenxid:int=0 relminmxid:int=0 relacl:texts reloptions:texts relpartbound:text",
    ),
    (
        "pg_attribute",
        "attrelid:int attname:text atttypid:int attstattarget:int=-1 attlen:int attnum:int attndims:int attcacheoff:int=-1 \
         atttypmod:int=-1 attbyval:bool=true attalign:text=i attstorage:text=p attcompression:text= attnotnull:bool \
         atthasdef:bool=false atthasmissing:bool=false attidentity:text= attgenerated:text= attisdropped:bool=false \
         attislocal:bool=true attinhcount:int=0 attcollation:int attacl:texts attoptions:texts attfdwoptions:texts \
         attmissingval:text",
    ),
    (
        "pg_type",
        "oid:int typname:text typnamespace:int=11 typowner:int=10 typlen:int typbyval:bool=true typtype:text=b \
         typcategory:text typispreferred:bool=false typisdefined:bool=true typdelim:text=, typrelid:int=0 \
         typsubscript:text=- typelem:int=0 typarray:int=0 typinput:text typoutput:text typreceive:text typsend:text \
         typmodin:text typmodout:text typanalyze:text typalign:text=i typstorage:text=p typnotnull:bool=false \
         typbasetype:int=0 typtypmod:int=-1 typndims:int=0 typcollation:int=0 typdefaultbin:text typdefault:text typacl:texts",
    ),
    (
        "pg_database",
        "oid:int datname:text datdba:int encoding:int=6 datlocprovider:text=c datistemplate:bool=false \
         datallowconn:bool=true datconnlimit:int=-1 datfrozenxid:int=0 datminmxid:int=0 dattablespace:int=1663 \
         datcollate:text datctype:text daticulocale:text datcollversion:text datacl:texts",
    ),
    (
        "pg_roles",
        "oid:int rolname:text rolsuper:bool=false rolinherit:bool=true rolcreaterole:bool=false rolcreatedb:bool=false \
         rolcanlogin:bool=true rolreplication:bool=false rolconnlimit:int=-1 rolpassword:text rolvaliduntil:text \
         rolbypassrls:bool=false rolconfig:texts",
    ),
    (
        "pg_user",
        "usename:text usesysid:int usecreatedb:bool=false usesuper:bool=false userepl:bool=false usebypassrls:bool=false \
         passwd:text valuntil:text useconfig:texts",
    ),
    (
        "pg_tables",
        "schemaname:text tablename:text tableowner:text tablespace:text hasindexes:bool=false hasrules:bool=false \
         hastriggers:bool=false rowsecurity:bool=false",
    ),
    ("pg_am", "oid:int amname:text amhandler:text amtype:text"),
    ("pg_tablespace", "oid:int spcname:text spcowner:int=10 spcacl:texts spcoptions:texts"),
    (
        "pg_collation",
        "oid:int collname:text collnamespace:int=11 collowner:int=10 collprovider:text=d collisdeterministic:bool=true \
         collencoding:int=-1 collcollate:text collctype:text colliculocale:text collversion:text",
    ),
    (
        "pg_settings",
        "name:text setting:text unit:text category:text short_desc:text extra_desc:text context:text vartype:text source:text min_val:text max_val:text enumvals:texts boot_val:text reset_val:text sourcefile:text sourceline:int pending_restart:bool=false",
    ),
];

/// Tables of what this server has not.
pub(super) const EMPTY: [(&str, &str); 37] = [
    (
        "pg_index",
        "indexrelid:int indrelid:int indnatts:int indnkeyatts:int indisunique:bool indnullsnotdistinct:bool indisprimary:bool \
         indisexclusion:bool indimmediate:bool indisclustered:bool indisvalid:bool indcheckxmin:bool indisready:bool \
         indislive:bool indisreplident:bool indkey:ints indcollation:ints indclass:ints indoption:ints indexprs:text indpred:text",
    ),
    (
        "pg_constraint",
        "oid:int conname:text connamespace:int contype:text condeferrable:bool condeferred:bool convalidated:bool conrelid:int \
         contypid:int conindid:int conparentid:int confrelid:int confupdtype:text confdeltype:text confmatchtype:text \
         conislocal:bool coninhcount:int connoinherit:bool conkey:ints confkey:ints conpfeqop:ints conppeqop:ints \
         conffeqop:ints confdelsetcols:ints conexclop:ints conbin:text",
    ),
    ("pg_attrdef", "oid:int adrelid:int adnum:int adbin:text"),
    ("pg_description", "objoid:int classoid:int objsubid:int description:text"),
    ("pg_shdescription", "objoid:int classoid:int description:text"),
    (
        "pg_proc",
        "oid:int proname:text pronamespace:int proowner:int prolang:int procost:real prorows:real provariadic:int \
         prokind:text prosecdef:bool proleakproof:bool proisstrict:bool proretset:bool provolatile:text proparallel:text \
         pronargs:int pronargdefaults:int prorettype:int proargtypes:ints proallargtypes:ints proargmodes:texts \
         proargnames:texts prosrc:text probin:text proacl:texts",
    ),
    (
        "pg_trigger",
        "oid:int tgrelid:int tgparentid:int tgname:text tgfoid:int tgtype:int tgenabled:text tgisinternal:bool tgconstrrelid:int \
         tgconstrindid:int tgconstraint:int tgdeferrable:bool tginitdeferred:bool tgnargs:int tgqual:text",
    ),
    (
        "pg_rewrite",
        "oid:int rulename:text ev_class:int ev_type:text ev_enabled:text is_instead:bool ev_qual:text ev_action:text",
    ),
    ("pg_inherits", "inhrelid:int inhparent:int inhseqno:int inhdetachpending:bool"),
    (
        "pg_depend",
        "classid:int objid:int objsubid:int refclassid:int refobjid:int refobjsubid:int deptype:text",
    ),
    (
        "pg_extension",
        "oid:int extname:text extowner:int extnamespace:int extrelocatable:bool extversion:text",
    ),
    ("pg_enum", "oid:int enumtypid:int enumsortorder:real enumlabel:text"),
    ("pg_range", "rngtypid:int rngsubtype:int rngmultitypid:int rngcollation:int rngsubopc:int"),
    (
        "pg_policy",
        "oid:int polname:text polrelid:int polcmd:text polpermissive:bool polroles:ints polqual:text polwithcheck:text",
    ),
    (
        "pg_statistic_ext",
        "oid:int stxrelid:int stxname:text stxnamespace:int stxowner:int stxstattarget:int stxkeys:ints stxkind:texts stxexprs:text",
    ),
    (
        "pg_publication",
        "oid:int pubname:text pubowner:int puballtables:bool pubinsert:bool pubupdate:bool pubdelete:bool pubtruncate:bool pubviaroot:bool",
    ),
    ("pg_publication_rel", "oid:int prpubid:int prrelid:int prqual:text prattrs:ints"),
    ("pg_publication_namespace", "oid:int pnpubid:int pnnspid:int"),
    ("pg_foreign_table", "ftrelid:int ftserver:int ftoptions:texts"),
    (
        "pg_foreign_server",
        "oid:int srvname:text srvowner:int srvfdw:int srvtype:text srvversion:text srvoptions:texts",
    ),
    ("pg_foreign_data_wrapper", "oid:int fdwname:text fdwowner:int fdwoptions:texts"),
    (
        "pg_partitioned_table",
        "partrelid:int partstrat:text partnatts:int partdefid:int partattrs:ints partexprs:text",
    ),
    (
        "pg_sequence",
        "seqrelid:int seqtypid:int seqstart:int seqincrement:int seqmax:int seqmin:int seqcache:int seqcycle:bool",
    ),
    ("pg_language", "oid:int lanname:text lanowner:int lanispl:bool lanpltrusted:bool"),
    (
        "pg_cast",
        "oid:int castsource:int casttarget:int castfunc:int castcontext:text castmethod:text",
    ),
    (
        "pg_operator",
        "oid:int oprname:text oprnamespace:int oprleft:int oprright:int oprresult:int oprcode:text",
    ),
    (
        "pg_opclass",
        "oid:int opcmethod:int opcname:text opcnamespace:int opcintype:int opcdefault:bool",
    ),
    ("pg_aggregate", "aggfnoid:int aggkind:text aggnumdirectargs:int"),
    ("pg_auth_members", "roleid:int member:int grantor:int admin_option:bool"),
    (
        "pg_event_trigger",
        "oid:int evtname:text evtevent:text evtowner:int evtenabled:text evttags:texts",
    ),
    ("pg_subscription", "oid:int subdbid:int subname:text subenabled:bool"),
    ("pg_views", "schemaname:text viewname:text viewowner:text definition:text"),
    (
        "pg_matviews",
        "schemaname:text matviewname:text matviewowner:text tablespace:text hasindexes:bool ispopulated:bool definition:text",
    ),
    ("pg_indexes", "schemaname:text tablename:text indexname:text tablespace:text indexdef:text"),
    ("pg_sequences", "schemaname:text sequencename:text sequenceowner:text data_type:text"),
    (
        "pg_stat_user_tables",
        "relid:int schemaname:text relname:text seq_scan:int n_live_tup:int n_dead_tup:int",
    ),
    ("pg_locks", "locktype:text database:int relation:int pid:int mode:text granted:bool"),
];
