--
-- PostgreSQL database dump
--


-- Dumped from database version 15.20 (Debian 15.20-0+deb12u1)
-- Dumped by pg_dump version 15.20 (Debian 15.20-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: sov; Type: SCHEMA; Schema: -; Owner: postgres
--

CREATE SCHEMA sov;


ALTER SCHEMA sov OWNER TO postgres;

--
-- Name: pg_sovereign; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS pg_sovereign WITH SCHEMA sov;


--
-- Name: EXTENSION pg_sovereign; Type: COMMENT; Schema: -; Owner: 
--

COMMENT ON EXTENSION pg_sovereign IS 'column encryption and backups under the data controller''s keys';


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: patient; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.patient (
    id integer NOT NULL,
    nir sov.encrypted_text('ward','searchable'),
    name sov.encrypted_text('ward','searchable'),
    note sov.encrypted_text('staff') DEFAULT 'sov1:AQGo+DTwNmmiUpocCKaq7truOgvWetHAXmLRpN8kyp6wrJhvsqs='::sov.encrypted_text,
    history sov.encrypted_text('ward','searchable'),
    free sov.encrypted_text,
    CONSTRAINT patient_name_check CHECK ((name <> 'sov1:AQGo+DTwfvXVCc5WJyTBl6eyY6VXBso+/YFy0xtWy2bZEdcyd3o+0Q=='::sov.encrypted_text))
);


ALTER TABLE public.patient OWNER TO postgres;

--
-- Name: nir_of(integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.nir_of(integer) RETURNS text
    LANGUAGE sql STABLE
    RETURN (SELECT patient.nir FROM public.patient WHERE (patient.id = $1));


ALTER FUNCTION public.nir_of(integer) OWNER TO postgres;

--
-- Name: by_nir; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.by_nir (
    nir sov.encrypted_text('ward','searchable')
);


ALTER TABLE public.by_nir OWNER TO postgres;

--
-- Name: casts; Type: VIEW; Schema: public; Owner: postgres
--

CREATE VIEW public.casts AS
 SELECT patient.id,
    (patient.nir)::text AS t,
    (patient.name)::character varying(20) AS v,
    (patient.note)::json AS j,
    upper((patient.history)::text) AS u
   FROM public.patient;


ALTER TABLE public.casts OWNER TO postgres;

--
-- Name: found; Type: VIEW; Schema: public; Owner: postgres
--

CREATE VIEW public.found AS
 SELECT patient.id,
    patient.note
   FROM public.patient
  WHERE (patient.nir = 'sov1:AQGo+DTwjcPkEZF2QOLTmFqS7GeUoVDO2Y+G/jGsDLcuxeF4pvz6'::sov.encrypted_text);


ALTER TABLE public.found OWNER TO postgres;

--
-- Name: key_names; Type: VIEW; Schema: public; Owner: postgres
--

CREATE VIEW public.key_names AS
 SELECT keys.name,
    keys.version,
    keys.current,
    keys.is_default,
    keys.created
   FROM sov.keys;


ALTER TABLE public.key_names OWNER TO postgres;

--
-- Name: provider_states; Type: VIEW; Schema: public; Owner: postgres
--

CREATE VIEW public.provider_states AS
 SELECT providers.name,
    providers.state,
    providers.debt_objects
   FROM sov.providers;


ALTER TABLE public.provider_states OWNER TO postgres;

--
-- Data for Name: by_nir; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.by_nir (nir) FROM stdin;
sov1:AQGo+DTwjcPkEZF2QOLTmFqS7GeUoVDO2Y+G/jGsDLcuxeF4pvz6
\.


--
-- Data for Name: patient; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.patient (id, nir, name, note, history, free) FROM stdin;
1	sov1:AQGo+DTw8Xxufp7Hmiw1iXGEVUTXpDsKdV+RpxDw6YHsQNBMl2Dj	sov1:AQGo+DTwE6trJNuOtcyX/zcnAxKmXUs68Cq9AQKFoFdqIzJpVb5AZQ==	sov1:AQDVGtuFdRO9VWBOmDYYwVncYfF7WISqyPEokJVpGf5UuzOKzhZ7Yw==	sov1:AQao+DTwbdgh/m1qt4+Bi0WqcwD8nwp/6lZHnjCuh9OSCc1TXeC4tqEmgGe3gfZjm0yORNSsLlphJIqY76rv77cSfanlnstZzR6S//Y=	sov1:AQGo+DTw4tiU306xUu9XUGhBKoJAuXkDHzIaUGr6/sjj4y67aWO1mw==
2	sov1:AQGo+DTwtkvBwzuKAUlQYEOKgaFDw2sNm459yCzXkE+pkwb74dyX	sov1:AQGo+DTwPU1cXNzBF30seIrvsmcCbDmYOZpJqH0YckNB8qrlYp/ogw==	sov1:AQDVGtuFbPPmi/l5s7cmxfOhkmICKS2g5cJtrlo3+cmZjmVBlclL7Q==	sov1:AQao+DTwYqHlIe20S3dDhmF5B+/6GbOeTR0nCnu1S52sWj/FzCqm3J8PjC4Iv1kO0OFHWmK5kWucin+3Gk85eTbZb79W89Q1WiMwcc4=	sov1:AQGo+DTwGKqCvnyxVw6RtcqQr3eqJmLxioJNdLmzDBU89J509d/S5w==
3	sov1:AQGo+DTwJcXmK38zFExPSrDSAi7EIzs9xhYEbLGEjg1mgrqA9CDY	sov1:AQGo+DTwcbWOyTQb3mP7xADb3zq40GeoWSMXtmG7y/0KCZrvNSO+Rw==	sov1:AQDVGtuF1E1Xma7ZcuoQ7rs36k/pNCra0uB7D1PT5fXTydnT8iCmoQ==	sov1:AQao+DTwmXj6ftBTbtkXUXtRpFMQ8UZbam/QLUv0BlAoJa92HDZoJpuavGgvp9sZ1/akasCFJ2FOVkn/FoMF1xEPjHi80O52d6lC4qo=	\N
4	sov1:AQGo+DTwOZe3eB95Var54y0/mZMuQ80IbLfI6oBMy9noJB+NKq6L	sov1:AQGo+DTw/CQuOcgbYzQoihoCBNwJV5rLHN2ICduOodF4sQr2b8zq9A==	sov1:AQDVGtuFrhSGieEAQoKnent4a6wBtbzthEJJYhEz6HldMSYAiu0cFQ==	sov1:AQao+DTwhOK7X+i1w3T3vzCyicvksDafOYa0dlcka0ynBFFz0rVAbDFQFSd6giwqLNqazXnjegErBrT3L62T6aMV45NQMMQ+Ko7plBM=	sov1:AQGo+DTwqUkaiDVRX/6uYjjq6k7NuNFQw9/5diBf1hd51JLG/NGZxw==
5	sov1:AQGo+DTwCtxgRf7jpj4i77hKgupjLaU2de6BQWnZzW7CB+4fHXoR	sov1:AQGo+DTwXA7VAkBrfu9FxktzxBTrRWOseorMQ2/pollDROeqllonzQ==	sov1:AQDVGtuFGUeIV/b2VdawdrIFJVT1mAdmS3sJYmDNoz7tF+YcJw6ITg==	sov1:AQao+DTwX7Ivk9wGHH6Oqnm0xLqzf3shtuhGjEv2w7z8PZ0S/Gady47Ak/bv242GojP+tlfG8MuwpmRNF7CPhE2iVfm8ikQjL4tmJ6w=	sov1:AQGo+DTwhpFVt7iiKaLrFBTZNXKwE7C7CW0Qa9Vg5l+lhJJTSTdRzA==
6	sov1:AQGo+DTwTNDDlPDld/LFCMmiOX9caTzk29ZC6fyCzhxRlndLrBBe	sov1:AQGo+DTwDkRyffRp8N5ihpqBGRMzvEUKqlUV21jO5zBhgra7d7EpuQ==	sov1:AQDVGtuFYpXP3CX4UkeoUHbsRdb2iRTy8UmH9rAhUZXT6jd59PcFFg==	sov1:AQao+DTwqCG7p08yhvnMyLeX+SOaE0w6EID0qF/jDMhDZrSVPGxYVzzJ6xh4A09+nffuqTTF7Q66QraCp4qLNA34QPZhKee5pcVtpts=	\N
7	sov1:AQGo+DTwjcPkEZF2QOLTmFqS7GeUoVDO2Y+G/jGsDLcuxeF4pvz6	sov1:AQGo+DTwtbTeyor0sbcf9wmFMhfvX1Bmq2SIpnEBCWT38BN+0mbEbw==	sov1:AQDVGtuFHsk1UsFxPCkZ+kdYi6zsQehT33egvAFjeQPV4KiJTjy//w==	sov1:AQao+DTwzZkGnVJOkWblNaqHsK9as3cdVTuZDoQmebumdhN4d6Ph7yxzhSheVf9SZCl+w2t21SpKB80LLWxQ9JiXBuB8zs0iQNFDniE=	sov1:AQGo+DTwTbRXzXcFUHdUZMyUW0ZA9lVn7S/s6zv1hnA1m1IkFB8qFg==
8	sov1:AQGo+DTw3thE4kCSKfgYfn1/BzXyZINW7z4bUOxjMElPoi8YRpf0	sov1:AQGo+DTwLRusffZ4AUlLMbYXT2SlP2MgCQRg+GqatVFxlTafmjrq3Q==	sov1:AQDVGtuF0pq85xM64mn/mIi0VG7QhNtYBKCI+DRVVMXHmdijH/ybLA==	sov1:AQao+DTwZsl8D90M/p7iIbQzxtLOyY13/8n34sbTyoO1fKRrM8haTJETQpU5d9P6IBL6iP6+NdXsGf/bVuhSpCdxf5+WsLQe+AbpLio=	sov1:AQGo+DTw7e5ZeqEhYxtP/yycYSo7UGttnduQxIwOfg/CLDVUKA9Z9Q==
9	sov1:AQGo+DTwoSNvUNbaqu8wTIQjQeNoq92cRCBk9A9qi2e4MiqkIvFx	sov1:AQGo+DTwFpj7jqzh6q7p0ktp5i8WeDlyaohIfwRxmVLzriOabVCI8A==	sov1:AQDVGtuF9/xbpGSGutp3T+gSlL4XtI3O74OwipcmoXoV2BuVRajPOQ==	sov1:AQao+DTwjNjFUZQsx19U6djMGccXl/MQ4w60pvtDnZkkc7HS5A5GLLwHEWzyGOgSNbH1iLEABUkvTAN3rV7GCuAa5prR7grsrB+NF2I=	\N
10	sov1:AQGo+DTwLJNIrP2m83jIc7tJ2+U/WpuJJnvS6cpup4mzXxkfeGi9XQ==	sov1:AQGo+DTwcvFPNWSLQZu0SrTMhwspIcdbbkLo/wzjy+ks8vJz7pQ0VQ==	sov1:AQDVGtuF3navMm3QHxIaLe7dlHtdCLXlycx5INgEMSLlTUh5flEFYG8=	sov1:AQao+DTwN0d3WAtl69m9h+vWq6xOtHQkj0tBwjVJkHl2FRPVIOshQTJdc3FYgKFGNz8MrM3JelKBFFHqZcea+utqXH1v8r6q6ALWppVs	sov1:AQGo+DTwBfnsZn88d76PoicaOz7ywdLESmMm3u0QJJs+GAogv1Tot7k=
11	sov1:AQGo+DTwkSBdiQng0aOno56pSFzaUN5IrdgbQ6tp0ZMzN79HmYBHFQ==	sov1:AQGo+DTwE6trJNuOtcyX/zcnAxKmXUs68Cq9AQKFoFdqIzJpVb5AZQ==	sov1:AQDVGtuF1hrWIf2tLf/uTAJGfcj6XCcN5D2GZcH/GIOC2Q6Kz9LHZzs=	sov1:AQao+DTwKAVB3qixjRVxWjsfLBhqnM1NLMv6v8u+4lCUACC0tVHijsCIS0nAs7JElXjpSWTrpsj/xM+GzdHHRCfXu4WDFueiFiEPV/TT	sov1:AQGo+DTwfeh8KnrWJTKpuMAhJZPQM22ypEZO4HQAE0DKxbz5Kkc3ZRE=
12	sov1:AQGo+DTwSKf0LWexRxZXKSV7mReyjfWqgLNCeOp2W7qbEHWglsFqQg==	sov1:AQGo+DTwPU1cXNzBF30seIrvsmcCbDmYOZpJqH0YckNB8qrlYp/ogw==	sov1:AQDVGtuFM6SA9PKICXs5NW1tkITax7qcKETV9MpqgKBNp/Ua+uDl7Gk=	sov1:AQao+DTwGIdbvt4fv0Afb2e8eQ94tpuMCgBHfdCpvAowTQMGQCBM9QK1dpVBlVJZZyHA//kW+t1dURqEE/vqFlxn1t3YFK7eheWw24H6	\N
13	sov1:AQGo+DTw5riryfmzrUx7kMEdKPmroHyxcWZyztXs0Npsi5hKvBawAg==	sov1:AQGo+DTwcbWOyTQb3mP7xADb3zq40GeoWSMXtmG7y/0KCZrvNSO+Rw==	sov1:AQDVGtuFVH7qHxFLGwX0v02SUbgHiT0pHC7q7PO/rgwdl7Y0jfJAuiA=	sov1:AQao+DTwiqqBt8HyH7d4ymfmG2kUDgyOwArLZ5yt+VSUGF5zEo81DeWCNYrHTm5UFECobkv1NAijBcA7i6hvSrx66m0fa33Qa1woAqN9	sov1:AQGo+DTw+bOMjyrRxFGGglCtn6n9kmacscNrXnZ2FMTkPWDxIQK1hMc=
14	sov1:AQGo+DTwNnTZjusE4P+9C6pz/b1nFXLfYOwQYnRy336q/uYTMLCaOQ==	sov1:AQGo+DTw/CQuOcgbYzQoihoCBNwJV5rLHN2ICduOodF4sQr2b8zq9A==	sov1:AQDVGtuFMoPof4MSDKQCoCbO2zyFerSZTYFUKjVpjjcPtimpk+6YDgw=	sov1:AQao+DTwrlfHAxGEhtDfDSTY18nL+1cgmUOK+zQKXKI7nDxYXDqXyWetUD8ycTQTFjUVH90MWtKTEUbxwuriCLo90cY8VbcjCXn/kxoY	sov1:AQGo+DTwY5CtJ9pR3i2gfcJIen9lrOEH417eu6xGt7Lb2TxMXx2QmmM=
15	sov1:AQGo+DTwU8fc0HeFf/MhKRadHSVWFY3QdsV5PLyYaWTdzb3I71OsuA==	sov1:AQGo+DTwXA7VAkBrfu9FxktzxBTrRWOseorMQ2/pollDROeqllonzQ==	sov1:AQDVGtuFlTxbScShk3PSdhDKV+dhCAexGc+iwR3/1kZ2urml83FnG9I=	sov1:AQao+DTwsA5Ln/RPxrPRxH9efJYRvnmI1nYEZVjeZLkVrVBNglC8jrHVicfzSSBmIOnFBe97iUsNtH8HjMP+gjnvGu8YF0yLejEO7CoK	\N
16	sov1:AQGo+DTwEEZOa9gzM/H/SY6eFW81rndpQJg7nu8nI+DPAR5LVdWInA==	sov1:AQGo+DTwDkRyffRp8N5ihpqBGRMzvEUKqlUV21jO5zBhgra7d7EpuQ==	sov1:AQDVGtuFER+SyRGU7nAQqXE/FggOKPlkH7bI4HdyfbxgDdRotZTels0=	sov1:AQao+DTwvrCSQOv+eOnHCLs0SH0VeD0k++FGe5CIj+QqL6dJ6lr7N78D6ZnI8WgiEx4aVK7/jg2PD2wrF+B093o/xMKnYSEGFcHPyrXv	sov1:AQGo+DTwmxxZVqBQqkwz2tS8MarlGl3CmaDYJ4qduktgD9+wNxVbn+4=
17	sov1:AQGo+DTwgqVcHeAFDChFne3aFeiGPQgmbYMhji+hp8FsyAyu9kPRRg==	sov1:AQGo+DTwtbTeyor0sbcf9wmFMhfvX1Bmq2SIpnEBCWT38BN+0mbEbw==	sov1:AQDVGtuF4nBDAl/nHim4rEGnZo5jfgckowT7WcINMEWsA7vzw8V/Bwo=	sov1:AQao+DTw7GBmxZ8bcmnZMX4I6TAalrVAWjRAPbke9fe4SX5Fjn6ts8bDj9aRDytf8UBt1roIrOGixLqPThZVCcuG64COvIY2NUtseQ6Z	sov1:AQGo+DTwGf2np5Ne7apAIBeW3Qb0SpAmA8eUEXuQwsqHqVYMA3JxDR4=
18	sov1:AQGo+DTwQFT8HSY6GiI/t6kLdy3SViqnJy7Gj31EyC/IRE99rddkTg==	sov1:AQGo+DTwLRusffZ4AUlLMbYXT2SlP2MgCQRg+GqatVFxlTafmjrq3Q==	sov1:AQDVGtuF7e/vDq5JN3xNNxH/bxdKR5UU4fiOTsOmmGua44ngivFlItk=	sov1:AQao+DTwu7G0hhE9A4zoBYItwMAZU5aUcTr/Crd9/RLNQtlUb3BXO4quCojKhK3p27k0qen4XgXtVUl3c0ylBIMp2xX2rmPypfVGWpfm	\N
19	sov1:AQGo+DTw0nWZqJwrQwl8f91jS6pHKhoiljnDyyVuYdMfHzrTTUlNnw==	sov1:AQGo+DTwFpj7jqzh6q7p0ktp5i8WeDlyaohIfwRxmVLzriOabVCI8A==	sov1:AQDVGtuFxhDoHW/H/51kQdIyCHUxGuTOfbtQCk0ZREXZjpPJb5ZQ05M=	sov1:AQao+DTwec4cNvEzwB9WmaTatDYH4qeX5xyU1cU3Mo2rtzCn8vkrfL7RxUgZYm1P3U2so0ENmquVmtQ/4DQIBjCf8WQi+6o9ZfQYK4yX	sov1:AQGo+DTw2IzGOeU9sOYGsxFmpkOktSGMUlMoHn8Xk10bcBkdlH0lw5E=
20	sov1:AQGo+DTwhtZv5dK3eejJQERVRg1jHH+Ny2JgCci+EWyJAQK5P/Xf6g==	sov1:AQGo+DTwcvFPNWSLQZu0SrTMhwspIcdbbkLo/wzjy+ks8vJz7pQ0VQ==	sov1:AQDVGtuFHqpjhxqUz0gQvf+33SBfMCDmktREgCSqoXCe8DwLDJ7fdJo=	sov1:AQao+DTwjC/tNWvdB+HwOhPBcyYZD2jhURmulRvC+Nz1QWmedvRz10NeQ2FFyF9PY6R/mJXHxqWlz+gX9PqGmvZaQQK8CDQF7R8oPnFy	sov1:AQGo+DTwe5Gbm9JiiVApY7G00MWLfmttte4UwyAqV+BrQC/bjU0c378=
21	sov1:AQGo+DTwtx/XiuqKAaI1+V5TuoB3DQFIcvkSnImvgxJt3m55//DCKw==	sov1:AQGo+DTwE6trJNuOtcyX/zcnAxKmXUs68Cq9AQKFoFdqIzJpVb5AZQ==	sov1:AQDVGtuFQ6z5Y47L6m9hLrELKNpaSw1F04GdvdDM3CZlG4O8qqYrsbA=	sov1:AQao+DTwtOJde4AoJzEMljGQXl/ntmz88coRIMOjrJ0HfyMIA4GGBqFFZCjHvmGFeTisOUiJL1kMTjUSMmzARfU0H2hdsMBG4bBLZrYe	\N
22	sov1:AQGo+DTwVp4R1FTwAlni5aPp+zhUBxfN5s8NaupYuJki79RmpoWD/A==	sov1:AQGo+DTwPU1cXNzBF30seIrvsmcCbDmYOZpJqH0YckNB8qrlYp/ogw==	sov1:AQDVGtuFaeIyAKsYBbVsU1Q3crwL67DQ6hb3LBQ2X3LR654TZAWVISM=	sov1:AQao+DTwDEaZZzdn9rcxtPnglsX1WIZ4blwiaxCYn9vzsuM3OAVw82S9QFm70NAFgx6BIQ/OStjwyXGXvN+5mbM7GSyXvA0FJ1PnCpjm	sov1:AQGo+DTwhmy+q9tPgV6L/fklh4MkSSRkkaXTlHEY69VMW1T2bFTNrvo=
23	sov1:AQGo+DTwTRvp5A9oxosgZq0dBkwZru1hu5uJcvXtL4LXP6vNKX23bA==	sov1:AQGo+DTwcbWOyTQb3mP7xADb3zq40GeoWSMXtmG7y/0KCZrvNSO+Rw==	sov1:AQDVGtuFkg1adchEn6BG88GAEOiXfpeyQOPaurPV1CeeetImoQfy2cw=	sov1:AQao+DTw0NGyonYCXmcXX7iWovuBZb93Kg5nWjYMs6mynvaMueAQaW78L1wtdOJrtSShzv5kCJN2hrQHncpIncWtU9blKCfIctkgZHUx	sov1:AQGo+DTwVeVzqGRmWxIHHCoMj57xElk7CeO6XofX2WIM502ga6aN6Qg=
24	sov1:AQGo+DTwgqriVUluNMj2SHnJMOZkeYYY4qoVa+9j2XZOtR8dI9sVww==	sov1:AQGo+DTw/CQuOcgbYzQoihoCBNwJV5rLHN2ICduOodF4sQr2b8zq9A==	sov1:AQDVGtuFpLx0FMsn1Jw0OFCf9JY1OEwW4rYGIQPaqV+5WpimfWHHR5c=	sov1:AQao+DTws41QfrcIMX+lbAjYA/cKY3do9u4OTszhE5UPqdVGayCeMoUgTuOlu+spLL6TF7MdF1ZkJxYhhR9Dfly6WqufJd/wfzxnaaE5	\N
25	sov1:AQGo+DTwriPvFxwmOBlGstrsLMbGBkwoIhNQ1PTO/viuo5zV7CYLHw==	sov1:AQGo+DTwXA7VAkBrfu9FxktzxBTrRWOseorMQ2/pollDROeqllonzQ==	sov1:AQDVGtuFnxn8U23PNo+pbSeLpDYWH+4u8zQCIF7dy5EiA5XwzFtPws4=	sov1:AQao+DTwj710MT1u3WMXe9UYZJRnnk34mF+pFTzhmbSyswCcrHJbhP4QacZsThJlg9j3K26oBVr5MfC7yOVF/c5+RjFjVVyx8kbno55T	sov1:AQGo+DTwz5jdmSM1SYU41Sr9vwIyr+vx9SNGA+1KWC9ji5RytaVmFEY=
26	sov1:AQGo+DTwESr5Kj2R2m8JNi7u7jsmZ8p4MHFJCj8vO6sZ57gQKUI7YA==	sov1:AQGo+DTwDkRyffRp8N5ihpqBGRMzvEUKqlUV21jO5zBhgra7d7EpuQ==	sov1:AQDVGtuFJ8p70DwAn3OgDmF5xPRZA7nIlPa6wD4Q+Mes5/zKPJfljB8=	sov1:AQao+DTw5fNgK+G37f4weKQ96ZXjOWH83IXHtN47MvVFKzvQC2W4xcrYLdxdOOaiLk7WcfSiLi1U5vItgkphnPppzOFfQcgdOthrtQ00	sov1:AQGo+DTwx8jZYktWXR4EDyjZQPc8JQOa7LKCcXUvOJixukFqEuWU3J0=
27	sov1:AQGo+DTw7drdP1YllcnTHvyCNOfZsmKTPJvo6uPZSeVgfj4VfZ4XSg==	sov1:AQGo+DTwtbTeyor0sbcf9wmFMhfvX1Bmq2SIpnEBCWT38BN+0mbEbw==	sov1:AQDVGtuF2TGfgG5YPeW5nxUSfVS52f3GRLyVAMuy1LWpikj6+VVTc/8=	sov1:AQao+DTwOHhcb8dNV3d9hmc903QoHnrCpayGfSqhLTPkzCpa2Hgh2MMie6FHkvI/oT3e6CursL5QwWQMGdR/e2WhRMUAwj6lUsfsDKnb	\N
28	sov1:AQGo+DTw3PjOFzQcHAhjlrxAd2M0Y33Lki4Yopkl8GpeGz8dM46kag==	sov1:AQGo+DTwLRusffZ4AUlLMbYXT2SlP2MgCQRg+GqatVFxlTafmjrq3Q==	sov1:AQDVGtuFBIOX6SCzGmcpA9+KE0wAYne7yb3TqY90yiIEWzYBhuYGPY4=	sov1:AQao+DTwiweHjpT9ZoXu9eXPG6UGDvRDFCuL+xlceBfv+MQMirdcwxCHLkaDrTXHEOMGUT9LM8IiSXxuRUSBl6y5oAAOgLPMNRRoG6eJ	sov1:AQGo+DTwOt2nULvohJW+tJlxbu0xhbFa++bPxTOFq47ldgi1VXkKxhI=
29	sov1:AQGo+DTw2YbKhUz3YYvWWQge8aZeHOUcq7IfAmjKDAD92SXRhHstow==	sov1:AQGo+DTwFpj7jqzh6q7p0ktp5i8WeDlyaohIfwRxmVLzriOabVCI8A==	sov1:AQDVGtuFIyz8L6JdA/NcczfUGA5nnjvupk2XwpLbFULjYgtTyEbpzww=	sov1:AQao+DTw7Obi3eQE2XwE8T4WCDn4kotL60I73m/Au+495hyF2vpNGz7PhHf6hADrpyldDD4etk7ms8n/RXYQo5lPMLel1JAjCWtIvkRs	sov1:AQGo+DTwrxixr5uBRR+I3xI2BoyqkDB79uKwXOLZyOeo50EyKhARBY4=
30	sov1:AQGo+DTw+XVaVFBO/bsOXFry3ubUfvlmhEo6ulkwMO3Ccj0olS7iTA==	sov1:AQGo+DTwcvFPNWSLQZu0SrTMhwspIcdbbkLo/wzjy+ks8vJz7pQ0VQ==	sov1:AQDVGtuFgbxcE285NzofgekSxVCwL93J0C7zKV9FiWAPbOzT+6DaD9A=	sov1:AQao+DTwkryol5TW8kSusC/NteY4PTt1j4VldGhl9Khn2u04bRjaF73cff/8vk4leZpn9f0W1egIVPYmQe3xQzxTNSE+bqsr/IdPL51X	\N
31	sov1:AQGo+DTwppOlpVfXlC02nlOS1I5Xkb6qFatM2qcMFAarfy4crYLOcA==	sov1:AQGo+DTwE6trJNuOtcyX/zcnAxKmXUs68Cq9AQKFoFdqIzJpVb5AZQ==	sov1:AQDVGtuFWWbQGQVSlEiQWRY/1OOe1Ek2rGcCMQLCWNoRNH0biWwgNVk=	sov1:AQao+DTwAM0SOV45b3J6XA+xdrnqTr39tnvhg2mzz6kODirQCVKOvSOqQYCVV/0mZBMinTyMBsnuRhd+GOWmN15Ma4/bBUnfaiuXTAca	sov1:AQGo+DTwVx1hkl8JqLJMCcOp5hguxtb9l74YkCGLPDfwjU6G/IzLXUg=
32	sov1:AQGo+DTwrunqAhvMiv58pQYbsYg4kf155uRu0+/oAgnjvosX80va7w==	sov1:AQGo+DTwPU1cXNzBF30seIrvsmcCbDmYOZpJqH0YckNB8qrlYp/ogw==	sov1:AQDVGtuFXjGLYtd2P4nX3UE3oKNQpXDQW6Rjy4OsgUt47Oc05GCRTAY=	sov1:AQao+DTwkKTrznr+xuCSc2Gsn3b94L6gg7fYuBtvXcDs20AAk4thAhPDuEUQlLSNsCIEquX61OR2eF3W8Awf3hMNZBaCBtDCZ9i5aRxI	sov1:AQGo+DTwMdTmM0Lz75U5P/bu3A+fVWLFyMXh5tbEOEgrjN2e1SvyCmM=
33	sov1:AQGo+DTwUQfS5sIRxm9T1WGz8fEdOFt7k9wwGbR8VBlxvmBLjUi0xw==	sov1:AQGo+DTwcbWOyTQb3mP7xADb3zq40GeoWSMXtmG7y/0KCZrvNSO+Rw==	sov1:AQDVGtuFRuFfEv5chCt2fKEp7Fvpf/Lu+s5xKHuRXznTE8OeHTOFSsw=	sov1:AQao+DTwvDWZrrq+/PIUfo2iASQgWIjqvbQsNcEKhnJkhDRN9me/eMO1t66NWePCpZRjKEDCyIBast/nDFDd/gV49QwFqcokJfGC6LDs	\N
34	sov1:AQGo+DTw+9RN077Qzc8q4s3/PEdQERYHC0pFVvplQF1BLs/l2IiPUQ==	sov1:AQGo+DTw/CQuOcgbYzQoihoCBNwJV5rLHN2ICduOodF4sQr2b8zq9A==	sov1:AQDVGtuFFVdWMve62AKcShNwRT1xjH/Qswyj+THxGbMyldcnIbapG0k=	sov1:AQao+DTwXT1XyuDshoPtkmoOSwhY4lyiaFMJMLEFQThowpe7nL20R+fF/BpBj2R9DPuZhY28VPdO8NLTh68amXKj6+fQYHEFShKkS7SD	sov1:AQGo+DTwZLuHSETckxXHehvLcflQeRv6wkQwC0nq6GyVr6nMkOlMAjo=
35	sov1:AQGo+DTwkRgysQE7Ji93YPsGs43V8Fz6H95BAi3Tvfynd5l92zBzvA==	sov1:AQGo+DTwXA7VAkBrfu9FxktzxBTrRWOseorMQ2/pollDROeqllonzQ==	sov1:AQDVGtuF36evzQSdmPEUqPfs3NODBbcLH2gwk+M068cL/82umncy7nc=	sov1:AQao+DTwQgJMB201Tf7n8fV4Tk21rjSV1p8iD74/UFxw+95iMXxPIIa2PRHOIDs5Fsv/L+U4w1OEmgHCuEtY03G5Uqfa3gipp3dQjUrW	sov1:AQGo+DTwbEwgPUCNo6Ae/bvMxbTbSqpX6PzqjxCp4PiwX7H2z2yxaJs=
36	sov1:AQGo+DTwYBg96oZuqJB+t2R/zqhy+S4lk+5WOR/vEsGJyTSwf8JmwQ==	sov1:AQGo+DTwDkRyffRp8N5ihpqBGRMzvEUKqlUV21jO5zBhgra7d7EpuQ==	sov1:AQDVGtuF1VYY9fZllwxAYqVBjKYC3itYqqrE0NwlZ+JDETszyLrdiAs=	sov1:AQao+DTwfvWGNgpHjTm09rzcigzo4cpQFtdND3tn4PjuamTkSEjppRlMp3uHxicGNHaFmilEwleNs3L1Fp3e5AFlO/XLkqTBVzWO0ME+	\N
37	sov1:AQGo+DTw+uyu96fUaDNx1bKazK5weaLXhn4ywdHChHqkUM7Le7DBQg==	sov1:AQGo+DTwtbTeyor0sbcf9wmFMhfvX1Bmq2SIpnEBCWT38BN+0mbEbw==	sov1:AQDVGtuF8ebzja8tqFASny2eYqR6+DqLvoAC8zSg64VUN0raKpko3jw=	sov1:AQao+DTw0Fx75XqxfxNcGxGM/yrjcoqX4ly/4IVhOMf1plieSVAs9xANKqEpFIBsdCUXKblwx6eHkrhZPXbzWcWg0oTpBy0QGZN57ZA2	sov1:AQGo+DTw2dA6sfcl9Fvy1jZLmDNEGJt5ucYMG+f43ALIE8Vd9FIYDoc=
38	sov1:AQGo+DTw7TaKeP2DXdOxJyDLsLC1EkcsICEOI5+HEMfOX9yHQ56eig==	sov1:AQGo+DTwLRusffZ4AUlLMbYXT2SlP2MgCQRg+GqatVFxlTafmjrq3Q==	sov1:AQDVGtuFPGB227UND/nYZW4gO25AgQ76bY1SNJEGJCOU6kdX1aD7Mik=	sov1:AQao+DTwk86ehx/ePAMK6MeXw7Jc8+PHJAutdzCiR7krm8OQgqOhReff6/V7FBaD1xRN5HN0fkxOdsYQVi5LvVQ5BSvMyaS1OpOz8Vri	sov1:AQGo+DTwxyO2XOGUcCZA7yFpWu7qSaioRXIq9MDLW11C/xasH+kG/uc=
39	sov1:AQGo+DTwwZFVIG6gRKkamsy6O1jLRwM3IDQv7O+wMARtgJWHgwE0tw==	sov1:AQGo+DTwFpj7jqzh6q7p0ktp5i8WeDlyaohIfwRxmVLzriOabVCI8A==	sov1:AQDVGtuFvmsH8KtflPTA9e5rDzi0jb0YiFL7Ha8PgBlcvWacDTruw7Y=	sov1:AQao+DTwmcpXbhkYfouqVIaB9zNgH2nPux8jCgyFdj1Ws3o9BEWr1/0Ef7nhNKaoMSh3hxwAMo5nOH3NUauoOXZqY4y0uL4YuuPlakr4	\N
40	sov1:AQGo+DTwYxnBbaH1a1tOu0tZaPlFq4hoJe+P0fWcwJE6T+Tj/Lx8Tw==	sov1:AQGo+DTwcvFPNWSLQZu0SrTMhwspIcdbbkLo/wzjy+ks8vJz7pQ0VQ==	sov1:AQDVGtuFNLZGf9JW+GUGkvh2lQMm2hIaZ3LD7jVxelB1TBPKnuJ4lPg=	sov1:AQao+DTwjyjZMvcxlyUqQKhvpY4pVaODkxaHdl61b2LaZ3KmB2tvfAcSARp9obXl1dtJskyAqTOXHzuOjQO/Crx5+NH+KGqjZ9/odmhT	sov1:AQGo+DTwTmGOoeMR+ohXlOe3x5ZkOCmKuxEM5t5QIjxSu6FSmI7IPTQ=
\.


--
-- Data for Name: key_domain; Type: TABLE DATA; Schema: sov; Owner: postgres
--

COPY sov.key_domain (domain, id, root_id, custodian, wrapped, commitment, created) FROM stdin;
database	d9cb1543-a809-930a-dda6-8c2e28d571f4	3bfd8bf0-62d9-406b-a9e7-e49c0a0d144d	file /tmp/sov_make.5ji4Em/root.key, root 3bfd8bf0-62d9-406b-a9e7-e49c0a0d144d	\\x7afcade7e4a13eed2adf1b21db8cc14b65ab3b2ba3f38d0fdb019fd7ff4d534409e2c213f01a7406	\\xe2fd11c7a4e7beaae0cac1a2a4517bc52fbdfa7b4bbb219fc4d793e35a75c730	2026-11-25 17:41:58.995194+00
\.


--
-- Data for Name: key_version; Type: TABLE DATA; Schema: sov; Owner: postgres
--

COPY sov.key_version (name, key_id, version, purpose, current, is_default, wrapped, commitment, created) FROM stdin;
	0	423505447	11	t	f	\\x6b95709dbdc873919a90c1a9bb1178e6339f9354458b28e8f1294dea137a4a2909be4323c044921a807e2b6aafa8c6fb976bf640d97a5df76ebcc631	\\x446080faf307ee552b17039e4335938bb1a75a6511bab698792469f7df40171a	2026-11-25 17:41:58.995194+00
ward	241733673	4030003368	10	t	t	\\xe8a9ae70702b861a015f96bb9980bf231e1f481a76520bcb1b5d3cd1e8934d439b21dd88cc5f86939e9faba4a902103f48060bafc636fca58e70a2b7	\\xc2777e2e2513d966eb3dcc89291a82da20666df616be7a08a73841a0fcf6ea28	2026-11-25 17:41:58.995194+00
staff	845185785	2245728981	10	t	f	\\x2ea19dbb296246ee3ad0f5c93d2b2bed5a7d23e2e3bda9287264124ed6e039c6b1feaec49aa74161299149daf9a65f3151b7dc6b274efd52887e6325	\\xb506dcd615f5437f04f01c098e0fc3d1d029ca65d2a7098124d27852b0d9b892	2026-11-25 17:41:59.008211+00
\.


--
-- Name: patient patient_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.patient
    ADD CONSTRAINT patient_pkey PRIMARY KEY (id);


--
-- Name: patient_name; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX patient_name ON public.patient USING hash (name);


--
-- Name: patient_nir; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX patient_nir ON public.patient USING btree (nir sov.encrypted_text_blind_ops);


--
-- Name: by_nir by_nir_nir_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.by_nir
    ADD CONSTRAINT by_nir_nir_fkey FOREIGN KEY (nir) REFERENCES public.patient(nir);


--
-- Name: FUNCTION create_key(name text); Type: ACL; Schema: sov; Owner: postgres
--

GRANT ALL ON FUNCTION sov.create_key(name text) TO clerk;


--
-- Name: TABLE keys; Type: ACL; Schema: sov; Owner: postgres
--

GRANT SELECT ON TABLE sov.keys TO clerk;


--
-- PostgreSQL database dump complete
--


